//! Constructors and accessors of items, object keys, remote ids and connections.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Action, Connection, Item, ItemOutcome, ObjectKey, Outcome, Problem, Remote};

impl Item {
    /// An item of a first attempt, with index 0 and without known remote ids. For tests.
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

    /// Sets the index. For tests.
    #[must_use]
    pub fn at_index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Adds a known remote id. For tests.
    #[must_use]
    pub fn known_as(mut self, remote: Remote) -> Self {
        self.remotes.push(remote);
        self
    }

    /// The body, parsed.
    ///
    /// # Errors
    /// A problem `body.missing` or `body.invalid`, for the outcome `rejected`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self
            .body
            .as_deref()
            .ok_or_else(|| Problem::new("body.missing", "this action needs a body"))?;
        serde_json::from_str(text).map_err(|error| Problem::new("body.invalid", error.to_string()))
    }

    /// The known remote id of this kind.
    pub fn remote(&self, kind: &str) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.kind == kind)
    }

    /// An outcome for this item.
    pub fn settled(&self, outcome: Outcome) -> ItemOutcome {
        ItemOutcome {
            index: self.index,
            outcome,
        }
    }
}

impl ObjectKey {
    /// An object, identified by its type and its id in the source.
    pub fn new(object_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            object_type: object_type.into(),
            id: id.into(),
        }
    }
}

impl Remote {
    /// A remote id: the kind in the connector's words, and the destination's id.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
            version: None,
            url: None,
            sub_id: None,
        }
    }

    /// Sets the destination's version or ETag.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the URL of a page that shows the object.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }
}

impl Connection {
    /// A connection with these settings and a deadline in 30 s. For tests.
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
