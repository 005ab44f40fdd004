//! Converts the host's types to the guest's records.

use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::{Mono, Wall};

use super::bindings::egression::connector::{credentials, http, model as wit};
use super::bindings::exports::egression::connector::settlement;
use crate::gate::CredentialError;
use crate::gate::exchange::{Response, SendError};
use crate::runtime::connector_call::{ConnectionFrame, Item, Pending, ResolvedReference, Session};

pub(super) fn instant(at: Wall) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

const fn action(action: Action) -> wit::Action {
    match action {
        Action::Create => wit::Action::Create,
        Action::Update => wit::Action::Update,
        Action::Delete => wit::Action::Delete,
        Action::Upsert => wit::Action::Upsert,
    }
}

fn key(key: ObjectKey) -> wit::ObjectKey {
    wit::ObjectKey {
        object_type: key.object_type,
        id: key.id,
    }
}

pub(super) fn remotes(list: Vec<Remote>) -> Vec<wit::Remote> {
    list.into_iter()
        .map(|remote| wit::Remote {
            kind: remote.kind,
            id: remote.id,
            version: remote.version,
            url: remote.url,
            sub_id: remote.sub_id,
        })
        .collect()
}

fn reference(reference: ResolvedReference) -> wit::ResolvedReference {
    wit::ResolvedReference {
        pointer: reference.pointer,
        target: key(reference.target),
        remotes: remotes(reference.remotes),
    }
}

pub(super) fn connection(frame: &ConnectionFrame, now: Mono) -> wit::Connection {
    wit::Connection {
        subscription: frame.subscription.to_string(),
        channel: frame.channel.to_string(),
        settings: frame.settings_json.to_string(),
        deadline_left: frame.deadline.since_ms(now),
        dry_run: frame.dry_run,
        traceparent: frame.traceparent.clone(),
        attrs: Vec::new(),
    }
}

pub(super) fn session(session: Session) -> wit::Session {
    wit::Session {
        data: session.data,
        expires_at: session.expires_at.map(instant),
        account: session.account,
    }
}

pub(super) fn items(list: Vec<Item>) -> Vec<wit::Item> {
    list.into_iter().map(item).collect()
}

fn item(item: Item) -> wit::Item {
    wit::Item {
        index: item.index,
        job_id: item.job_id,
        object: key(item.object),
        action: action(item.action),
        body: item.body,
        revision: item.revision,
        idempotency_key: item.idempotency_key,
        attempt: item.attempt,
        remotes: remotes(item.remotes),
        references: item.references.into_iter().map(reference).collect(),
        attrs: Vec::new(),
    }
}

pub(super) fn pending(pending: Pending) -> settlement::Pending {
    settlement::Pending {
        token: pending.token,
        submitted_at: instant(pending.submitted_at),
        items: items(pending.items),
    }
}

pub(super) fn answer(
    answer: Result<Response, SendError>,
) -> Result<http::Response, http::HttpError> {
    let answer = answer.map_err(send_error)?;
    let body = match String::from_utf8(answer.body.into()) {
        Ok(text) => http::Payload::Text(text),
        Err(not_text) => http::Payload::Bytes(not_text.into_bytes()),
    };
    Ok(http::Response {
        status: answer.status,
        headers: answer
            .headers
            .into_iter()
            .map(|(name, value)| http::Header { name, value })
            .collect(),
        body,
        truncated: answer.truncated,
        duration: answer.duration_ms,
    })
}

fn send_error(error: SendError) -> http::HttpError {
    match error {
        SendError::Denied(why) | SendError::TooCostly(why) => http::HttpError::Denied(why),
        // A problem of the host with a limit must not look like an unreachable destination.
        SendError::Limited { until, .. } | SendError::Unrecorded { until, .. } => {
            http::HttpError::Limited(instant(until))
        }
        SendError::NeverSent(why) => http::HttpError::NeverSent(why),
        SendError::SentWithoutAnswer(why) => http::HttpError::SentWithoutAnswer(why),
        // The contract has no case of its own for it. Nothing was sent, and a retry by the guest
        // would not help.
        refused @ SendError::CredentialRefused(_) => http::HttpError::Denied(refused.to_string()),
    }
}

pub(super) fn credential_error(error: CredentialError) -> credentials::CredentialError {
    match error {
        CredentialError::Missing(name) => credentials::CredentialError::Missing(name),
        CredentialError::Invalid(why) => credentials::CredentialError::Invalid(why),
    }
}
