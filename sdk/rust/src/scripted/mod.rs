//! A channel that plays a script, for native unit tests of connectors.
//!
//! Requests are compared with what the test expects, in order, and answered with what it says;
//! everything else a connector does is recorded. What a real host would refuse is refused here,
//! too: a request that carries a placeholder where none is replaced fails the test. A script that
//! was not played to its end fails the test as the channel is dropped.

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

/// The clock of a new scripted channel, in milliseconds since the Unix epoch: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// A line that the connector logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How important it is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// The item it belongs to; none: every item of the call.
    pub item: Option<u32>,
    /// Free key-value pairs.
    pub attrs: Vec<Attr>,
}

/// A secret that the connector deposited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// The secret's name.
    pub name: String,
    /// What the destination handed out.
    pub value: String,
    /// In milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// What the connector told of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The limit's name in the description; none: the connection's own.
    pub bucket: Option<String>,
    /// How many there are.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// How long until all are there again, in milliseconds.
    pub reset_ms: Option<u64>,
}

/// The scripted channel. One test may use it for several calls in a row.
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
    /// A channel that expects nothing, knows no secret and stands at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let channel = Self::default();
        channel.state.borrow_mut().now_ms = START_MS;
        channel
    }

    /// Expects this request next, and answers so.
    #[must_use]
    pub fn expect(self, expected: Expected, reply: Reply) -> Self {
        self.state.borrow_mut().script.push_back((expected, reply));
        self
    }

    /// Gives the connection a secret.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.state
            .borrow_mut()
            .generations
            .insert(name.to_owned(), 1);
        self
    }

    /// Lets the hub know an object at the destination.
    #[must_use]
    pub fn known(self, key: ObjectKey, remotes: Vec<Remote>) -> Self {
        self.state.borrow_mut().known.push((key, remotes));
        self
    }

    /// Asks the connector to stop from the report of that many outcomes on.
    #[must_use]
    pub fn stop_after_reports(self, outcomes: usize) -> Self {
        self.state.borrow_mut().stop_after_reports = Some(outcomes);
        self
    }

    /// The placeholder of a secret as it is now.
    ///
    /// # Panics
    /// If the test gave the connection no such secret.
    pub fn placeholder_of(&self, name: &str) -> String {
        self.placeholder(name)
            .expect("the test gives the connection this secret, or the connector deposited it")
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

    /// What was observed of limits so far.
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
    /// If the request is not the one expected, or carries a placeholder where none is replaced.
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
            "request {} is not the one expected\n  {}\ngot\n{}",
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

    /// No signature at all, but a text that shows what was signed, with which key and how.
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
                "{} requests were expected and not sent, first {expected}",
                left.len()
            );
        }
    }
}

#[cfg(test)]
mod tests;
