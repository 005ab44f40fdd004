//! Items and the names of objects, with the shortcuts that connectors and their tests need.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Action, Connection, Item, ItemOutcome, ObjectKey, Outcome, Problem, Remote};

impl Item {
    /// An item as a host would send it at first: index 0, first attempt, nothing known of it there.
    /// For tests.
    pub fn new(action: Action, object_type: &str, id: &str, body: Option<&Value>) -> Self {
        Self {
            index: 0,
            job_id: format!("job-{object_type}-{id}"),
            object: ObjectKey::new(object_type, id),
            action,
            body: body.map(Value::to_string),
            revision: None,
            idempotency_key: format!("key-{object_type}-{id}"),
            attempt: 1,
            remotes: Vec::new(),
            references: Vec::new(),
            attrs: Vec::new(),
        }
    }

    /// The same item under another index. For tests.
    #[must_use]
    pub fn at_index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// The same item with something known of it at the destination. For tests.
    #[must_use]
    pub fn known_as(mut self, remote: Remote) -> Self {
        self.remotes.push(remote);
        self
    }

    /// The body, parsed.
    ///
    /// # Errors
    /// A problem `body.missing` or `body.invalid`, to be answered as `rejected`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self
            .body
            .as_deref()
            .ok_or_else(|| Problem::new("body.missing", "this action needs a body"))?;
        serde_json::from_str(text).map_err(|error| Problem::new("body.invalid", error.to_string()))
    }

    /// What the hub knows of this object there under this kind.
    pub fn remote(&self, kind: &str) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.kind == kind)
    }

    /// This item's outcome.
    pub fn settled(&self, outcome: Outcome) -> ItemOutcome {
        ItemOutcome {
            index: self.index,
            outcome,
        }
    }
}

impl ObjectKey {
    /// An object by its type and its id in the source.
    pub fn new(object_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            object_type: object_type.into(),
            id: id.into(),
        }
    }
}

impl Remote {
    /// What an object became there: the connector's word for the kind, and the destination's id.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
            version: None,
            url: None,
            sub_id: None,
        }
    }

    /// The destination's version or ETag.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Where a person can look at it.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }
}

impl Connection {
    /// A connection with these settings, 30 s left and nothing else of note. For tests.
    pub fn new(settings: &Value) -> Self {
        Self {
            subscription: "acme".to_owned(),
            channel: "shop".to_owned(),
            settings: settings.to_string(),
            deadline_left: 30_000,
            dry_run: false,
            traceparent: None,
            attrs: Vec::new(),
        }
    }
}
