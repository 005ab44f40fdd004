//! One call of the connector: whose account, which session, and the way out.

use serde::de::DeserializeOwned;

use crate::{
    CallError, Channel, Connection, HttpError, ItemOutcome, Level, Problem, Request, Response,
    Session,
};

/// The frame of one call. Borrowed by everything a connector does during it.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Whose account is written to, with the settings and the time left.
    pub connection: &'a Connection,
    /// What `authenticate` made, if it was called.
    pub session: Option<&'a Session>,
    channel: &'a dyn Channel,
}

impl<'a> Call<'a> {
    /// A call on a channel: the host's inside the sandbox, a scripted one in tests.
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

    /// The way out, for what this type has no short word for: `sign`, `deposit`, `observe`,
    /// `lookup`.
    pub fn channel(&self) -> &'a dyn Channel {
        self.channel
    }

    /// The connection's settings.
    ///
    /// # Errors
    /// [`CallError::SettingsInvalid`] if they do not fit `T`; the host checks them against the
    /// schema in the description first, so this means that schema and `T` differ.
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
    /// [`CallError::AuthRejected`] if the connection has no such secret: a person has to enter it.
    pub fn placeholder(&self, name: &str) -> Result<String, CallError> {
        self.channel
            .placeholder(name)
            .map_err(CallError::from_credential)
    }

    /// Settles one item now. True: the host asks to stop early; answer `not-attempted` for the
    /// rest.
    #[must_use = "true means that the host asks to stop"]
    pub fn report(&self, outcome: ItemOutcome) -> bool {
        self.channel.report(vec![outcome])
    }

    /// Adds a line to the history of every item of the call.
    pub fn log(&self, level: Level, message: &str) {
        self.channel.log(level, message, None, Vec::new());
    }

    /// The wall clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.channel.now_ms()
    }
}
