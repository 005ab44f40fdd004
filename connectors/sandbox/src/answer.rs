//! Judges the shop's answers.
//!
//! An error of the shop is `{"error":{"code","message","pointer"?,"references"?,"version"?}}`. The
//! code decides the outcome. Without a code, the status decides it, with the host's own table.

use egression_sdk::{
    Action, Item, ObjectKey, Outcome, Problem, Remote, Response, outcome_from_status,
};
use serde::Deserialize;

/// The shop's answer for one object: the body of a single request, or one result of a batch.
#[derive(Default, Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    status: u16,
    version: Option<String>,
    changed: Option<bool>,
    error: Option<ShopError>,
    #[serde(skip)]
    retry_after_ms: Option<u64>,
    /// The problem of a single request's answer whose body cannot be read.
    #[serde(skip)]
    unreadable: Option<Problem>,
}

#[derive(Deserialize)]
struct ShopError {
    code: String,
    #[serde(default)]
    message: String,
    pointer: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    object_type: String,
    id: String,
}

impl Answer {
    /// The answer to a single request. If the body cannot be read, the status decides alone.
    pub(crate) fn of(response: &Response) -> Self {
        let mut answer = match response.json::<Self>() {
            Ok(answer) => answer,
            Err(_) => Self {
                unreadable: Some(Problem::from_response(response)),
                ..Self::default()
            },
        };
        answer.status = response.status;
        answer.retry_after_ms = response.retry_after_ms();
        answer
    }

    /// The shop's error code, if it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.error.as_ref().map(|error| error.code.as_str())
    }

    /// The outcome of the item.
    pub(crate) fn outcome(self, item: &Item) -> Outcome {
        if (200..300).contains(&self.status) {
            return self.delivered(item);
        }
        let problem = self.problem();
        match self.code() {
            // These objects must exist first. The hub waits for them, and the attempt does not
            // count.
            Some("reference.missing") if self.has_references() => {
                Outcome::blocked_on(self.references())
            }
            // The shop has a newer version. The hub sends the item again with that version.
            Some("version.conflict") => Outcome::conflict(self.conflicting_remote(item)),
            // To create an existing object never works, with no version.
            Some("version.exists") => Outcome::rejected(problem),
            // The delete has nothing to do.
            Some("object.missing") if item.action == Action::Delete => {
                Outcome::unchanged(Vec::new())
            }
            // Other objects refer to this one. Their own deletes may follow.
            Some("object.referenced") => Outcome::retryable(self.retry_after_ms, problem),
            _ => outcome_from_status(&self.as_response(), item).because(problem),
        }
    }

    fn delivered(self, item: &Item) -> Outcome {
        let remotes = match item.action {
            Action::Delete => Vec::new(),
            Action::Create | Action::Update | Action::Upsert => {
                let mut remote = Remote::new(&item.object.object_type, &item.object.id);
                remote.version = self.version;
                vec![remote]
            }
        };
        if self.changed == Some(false) {
            Outcome::unchanged(remotes)
        } else {
            Outcome::delivered(remotes)
        }
    }

    fn conflicting_remote(&self, item: &Item) -> Remote {
        let mut remote = Remote::new(&item.object.object_type, &item.object.id);
        remote.version = self.error.as_ref().and_then(|error| error.version.clone());
        remote
    }

    fn has_references(&self) -> bool {
        self.error
            .as_ref()
            .is_some_and(|error| !error.references.is_empty())
    }

    fn references(&self) -> Vec<ObjectKey> {
        let references = self.error.iter().flat_map(|error| &error.references);
        references
            .map(|reference| ObjectKey::new(&reference.object_type, &reference.id))
            .collect()
    }

    fn problem(&self) -> Problem {
        match (&self.error, &self.unreadable) {
            (Some(error), _) => error.problem(self.status),
            (None, Some(problem)) => problem.clone(),
            (None, None) => Problem::from_response(&self.as_response()),
        }
    }

    /// The status and the wait, for the host's table.
    fn as_response(&self) -> Response {
        let response = Response::new(self.status, "");
        match self.retry_after_ms {
            Some(wait_ms) => response.with_header("retry-after-ms", wait_ms.to_string()),
            None => response,
        }
    }
}

impl ShopError {
    fn problem(&self, status: u16) -> Problem {
        let message = if self.message.is_empty() {
            format!("the shop answered {status} {}", self.code)
        } else {
            self.message.clone()
        };
        let problem = Problem::new(&self.code, message)
            .status(status)
            .destination_code(&self.code);
        match &self.pointer {
            Some(pointer) => problem.pointer(pointer),
            None => problem,
        }
    }
}

/// The problem of a whole request.
pub(crate) fn problem(response: &Response) -> Problem {
    Answer::of(response).problem()
}

/// The version that an update requires: the known version of the object. Other actions require
/// none.
pub(crate) fn expected_version(item: &Item) -> Option<&str> {
    if item.action != Action::Update {
        return None;
    }
    item.remote(&item.object.object_type)?.version.as_deref()
}
