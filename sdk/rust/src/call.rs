//! One call of the connector: the connection, the session, and the access to the outside.

use serde::de::DeserializeOwned;

use crate::{
    CallError, Channel, Connection, HttpError, ItemOutcome, Level, Problem, Request, Response,
    Session,
};

/// One call of the connector.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The connection, with its settings and the time left.
    pub connection: &'a Connection,
    /// The session that `authenticate` returned, if there is one.
    pub session: Option<&'a Session>,
    channel: &'a dyn Channel,
}

impl<'a> Call<'a> {
    /// A call on a channel: the host's channel in the sandbox, a scripted channel in tests.
    pub fn new(
        channel: &'a dyn Channel,
        connection: &'a Connection,
        session: Option<&'a Session>,
    ) -> Self {
        Self {
            connection,
            session,
            channel,
        }
    }

    /// The channel, for functions without a shortcut in this type: `sign`, `deposit`, `observe`,
    /// `lookup`.
    pub fn channel(&self) -> &'a dyn Channel {
        self.channel
    }

    /// The connection's settings.
    ///
    /// # Errors
    /// [`CallError::SettingsInvalid`] if they do not match `T`. The host has checked them against
    /// the schema in the description, so this error means that the schema and `T` differ.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_str(&self.connection.settings).map_err(|error| {
            CallError::SettingsInvalid(Problem::new("settings.invalid", error.to_string()))
        })
    }

    /// Sends one request. See [`Channel::send`].
    ///
    /// # Errors
    /// See [`HttpError`].
    pub fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.channel.send(request)
    }

    /// A text that stands for the secret `name`. See [`Channel::placeholder`].
    ///
    /// # Errors
    /// [`CallError::AuthRejected`] if the connection has no such secret. A person must enter it.
    pub fn placeholder(&self, name: &str) -> Result<String, CallError> {
        self.channel
            .placeholder(name)
            .map_err(CallError::from_credential)
    }

    /// Settles one item now. If the result is true, the host asks the connector to stop early:
    /// return `not-attempted` for the rest.
    #[must_use = "true means that the host asks the connector to stop"]
    pub fn report(&self, outcome: ItemOutcome) -> bool {
        self.channel.report(vec![outcome])
    }

    /// Adds a line to the history of all items of the call.
    pub fn log(&self, level: Level, message: &str) {
        self.channel.log(level, message, None, Vec::new());
    }

    /// The wall clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.channel.now_ms()
    }
}
