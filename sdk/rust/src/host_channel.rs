//! The channel in the sandbox: the host's imports.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::egression::connector::{credentials, http, ids, log, rate, settle};
use crate::{
    Attr, Channel, CredentialError, HttpError, ItemOutcome, Level, ObjectKey, Remote, Request,
    Response, SignRequest,
};

/// The host.
pub(crate) struct HostChannel;

impl Channel for HostChannel {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        http::send(request.wire()?)
    }

    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        // A request without a valid body is not sent; the results keep the order of the requests.
        let valid: Vec<_> = requests
            .iter()
            .filter_map(|request| request.wire().ok().cloned())
            .collect();
        let mut answers = http::send_all(&valid).into_iter();
        let missing = || HttpError::NeverSent("the host returned too few results".to_owned());
        requests
            .iter()
            .map(|request| match request.wire() {
                Ok(_) => answers.next().unwrap_or_else(|| Err(missing())),
                Err(fault) => Err(fault),
            })
            .collect()
    }

    fn placeholder(&self, name: &str) -> Result<String, CredentialError> {
        credentials::placeholder(name)
    }

    fn sign(&self, request: &SignRequest) -> Result<String, CredentialError> {
        credentials::sign(request)
    }

    fn deposit(
        &self,
        name: &str,
        value: &str,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CredentialError> {
        credentials::deposit(name, value, expires_at_ms)
    }

    fn report(&self, outcomes: Vec<ItemOutcome>) -> bool {
        settle::report(&outcomes)
    }

    fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        rate::observe(bucket, limit, remaining, reset_ms);
    }

    fn lookup(&self, keys: &[ObjectKey]) -> Vec<Vec<Remote>> {
        ids::lookup(keys)
    }

    fn log(&self, level: Level, message: &str, item: Option<u32>, attrs: Vec<Attr>) {
        log::emit(level, message, item, &attrs);
    }

    fn now_ms(&self) -> u64 {
        // A clock before 1970 is a fault of the host. 0 makes each wait too long, never too short.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }
}
