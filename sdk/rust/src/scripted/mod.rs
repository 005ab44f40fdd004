//! A channel that follows a script, for native unit tests of connectors.
//!
//! It compares requests with the script, in order, and returns the replies of the script. It
//! records all other calls. A request with a placeholder in a place where no host replaces it fails
//! the test. When the channel is dropped, a script with remaining requests fails the test.

mod expected;
mod placeholders;
mod reply;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

pub use expected::Expected;
pub use reply::Reply;

use crate::{
    Attr, Channel, CredentialError, HttpError, ItemOutcome, Level, ObjectKey, Remote, Request,
    Response, SignRequest,
};

/// The time of a scripted channel, in milliseconds since the Unix epoch: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// A line that the connector logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The text.
    pub message: String,
    /// The item that the line is about; none means all items of the call.
    pub item: Option<u32>,
    /// Key-value pairs.
    pub attrs: Vec<Attr>,
}

/// A secret that the connector deposited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The secret's name.
    pub name: String,
    /// The secret.
    pub value: String,
    /// The expiry, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// A limit that the connector observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The limit's name in the description; none means the connection's own limit.
    pub bucket: Option<String>,
    /// The size of the limit.
    pub limit: Option<u64>,
    /// How much of the limit is left.
    pub remaining: Option<u64>,
    /// The time until the limit is full again, in milliseconds.
    pub reset_ms: Option<u64>,
}

/// The scripted channel. A test may use it for several calls, one after the other.
#[derive(Default)]
pub struct ScriptedChannel {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    now_ms: u64,
    script: VecDeque<(Expected, Reply)>,
    generations: BTreeMap<String, u32>,
    known: Vec<(ObjectKey, Vec<Remote>)>,
    stop_after_reports: Option<usize>,
    requests: Vec<Request>,
    reports: Vec<ItemOutcome>,
    deposits: Vec<Deposit>,
    observations: Vec<Observation>,
    log: Vec<LogLine>,
}

impl ScriptedChannel {
    /// A channel that expects no request, has no secret, and whose time is 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let channel = Self::default();
        channel.state.borrow_mut().now_ms = START_MS;
        channel
    }

    /// Expects this request next, and returns this reply.
    #[must_use]
    pub fn expect(self, expected: Expected, reply: Reply) -> Self {
        self.state.borrow_mut().script.push_back((expected, reply));
        self
    }

    /// Adds a secret of the connection.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.state
            .borrow_mut()
            .generations
            .insert(name.to_owned(), 1);
        self
    }

    /// Adds known remote ids of an object.
    #[must_use]
    pub fn known(self, key: ObjectKey, remotes: Vec<Remote>) -> Self {
        self.state.borrow_mut().known.push((key, remotes));
        self
    }

    /// Asks the connector to stop after this many reported outcomes.
    #[must_use]
    pub fn stop_after_reports(self, outcomes: usize) -> Self {
        self.state.borrow_mut().stop_after_reports = Some(outcomes);
        self
    }

    /// The placeholder of a secret's current generation.
    ///
    /// # Panics
    /// If the connection has no such secret.
    pub fn placeholder_of(&self, name: &str) -> String {
        self.placeholder(name)
            .expect("the test adds this secret, or the connector deposits it")
    }

    /// The requests sent so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.borrow().requests.clone()
    }

    /// The outcomes reported so far, in order.
    pub fn reports(&self) -> Vec<ItemOutcome> {
        self.state.borrow().reports.clone()
    }

    /// The secrets deposited so far.
    pub fn deposits(&self) -> Vec<Deposit> {
        self.state.borrow().deposits.clone()
    }

    /// The limits observed so far.
    pub fn observations(&self) -> Vec<Observation> {
        self.state.borrow().observations.clone()
    }

    /// The lines logged so far.
    pub fn log_lines(&self) -> Vec<LogLine> {
        self.state.borrow().log.clone()
    }
}

impl Channel for ScriptedChannel {
    /// # Panics
    /// If the request differs from the script, or has a placeholder where no host replaces it.
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        request.wire()?;
        let mut state = self.state.borrow_mut();
        state.requests.push(request.clone());
        placeholders::assert_replaceable(request);
        let Some((expected, reply)) = state.script.pop_front() else {
            panic!(
                "the script expects no further request, but got\n{}",
                expected::shown(request)
            );
        };
        let differences = expected.differences(request);
        assert!(
            differences.is_empty(),
            "request {} differs from the script\n  {}\ngot\n{}",
            state.requests.len(),
            differences.join("\n  "),
            expected::shown(request)
        );
        reply.into_result()
    }

    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        requests.iter().map(|request| self.send(request)).collect()
    }

    fn placeholder(&self, name: &str) -> Result<String, CredentialError> {
        match self.state.borrow().generations.get(name) {
            Some(generation) => Ok(placeholders::placeholder(name, *generation)),
            None => Err(CredentialError::Missing(name.to_owned())),
        }
    }

    /// Returns a text with the algorithm, the key and the data in place of a signature.
    fn sign(&self, request: &SignRequest) -> Result<String, CredentialError> {
        Ok(format!(
            "signed({:?}, {}, {})",
            request.algorithm, request.key, request.data
        ))
    }

    fn deposit(
        &self,
        name: &str,
        value: &str,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CredentialError> {
        let mut state = self.state.borrow_mut();
        *state.generations.entry(name.to_owned()).or_default() += 1;
        state.deposits.push(Deposit {
            name: name.to_owned(),
            value: value.to_owned(),
            expires_at_ms,
        });
        Ok(())
    }

    fn report(&self, outcomes: Vec<ItemOutcome>) -> bool {
        let mut state = self.state.borrow_mut();
        state.reports.extend(outcomes);
        state
            .stop_after_reports
            .is_some_and(|limit| state.reports.len() >= limit)
    }

    fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        self.state.borrow_mut().observations.push(Observation {
            bucket: bucket.map(str::to_owned),
            limit,
            remaining,
            reset_ms,
        });
    }

    fn lookup(&self, keys: &[ObjectKey]) -> Vec<Vec<Remote>> {
        let state = self.state.borrow();
        let of = |key: &ObjectKey| state.known.iter().find(|(known, _)| known == key);
        keys.iter()
            .map(|key| {
                of(key)
                    .map(|(_, remotes)| remotes.clone())
                    .unwrap_or_default()
            })
            .collect()
    }

    fn log(&self, level: Level, message: &str, item: Option<u32>, attrs: Vec<Attr>) {
        self.state.borrow_mut().log.push(LogLine {
            level,
            message: message.to_owned(),
            item,
            attrs,
        });
    }

    fn now_ms(&self) -> u64 {
        self.state.borrow().now_ms
    }
}

impl Drop for ScriptedChannel {
    fn drop(&mut self) {
        let left = &self.state.get_mut().script;
        if let Some((expected, _)) = left.front()
            && !std::thread::panicking()
        {
            panic!(
                "{} expected requests were not sent; the first is {expected}",
                left.len()
            );
        }
    }
}

#[cfg(test)]
mod tests;
