//! Builders for a connector's description.

use serde_json::Value;

use crate::{
    Action, AuthScheme, BodyFormat, Bucket, BucketKind, Description, HostNeed, ReferencePointer,
    TokenBucket, TypeSupport, Window, WriteMode,
};

impl Description {
    /// A description with a name (lower-case letters, digits, hyphens), a semantic version and a
    /// display name. It has no object types and no settings yet, and each instance serves one call.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        title: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            title: title.into(),
            features: Vec::new(),
            object_types: Vec::new(),
            buckets: Vec::new(),
            auth_schemes: Vec::new(),
            settings_schema: r#"{"type":"object"}"#.to_owned(),
            hosts: Vec::new(),
            reusable: false,
            attrs: Vec::new(),
        }
    }

    /// Adds an object type.
    #[must_use]
    pub fn object_type(mut self, support: TypeSupport) -> Self {
        self.object_types.push(support);
        self
    }

    /// Adds a limit of the destination.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Self {
        self.buckets.push(bucket);
        self
    }

    /// Adds an auth scheme. `secrets` are the secrets that `authenticate` needs.
    #[must_use]
    pub fn auth(mut self, scheme: &str, secrets: &[&str]) -> Self {
        self.auth_schemes.push(AuthScheme {
            scheme: scheme.to_owned(),
            secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
        });
        self
    }

    /// Sets the JSON Schema (draft 2020-12) of the settings.
    #[must_use]
    pub fn settings(mut self, schema: &Value) -> Self {
        self.settings_schema = schema.to_string();
        self
    }

    /// Adds a host that the connector needs: a name, or `*.suffix` with a suffix of two labels or
    /// more.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(HostNeed::Name(name.into()));
        self
    }

    /// Adds the host in the URL of this setting.
    #[must_use]
    pub fn host_of_setting(mut self, setting: impl Into<String>) -> Self {
        self.hosts.push(HostNeed::Setting(setting.into()));
        self
    }

    /// Allows an instance to serve several calls of one tenant, one after the other.
    #[must_use]
    pub fn reusable(mut self) -> Self {
        self.reusable = true;
        self
    }
}

impl TypeSupport {
    /// An object type with these actions. A call has one item, and a write replaces the object. No
    /// action is idempotent unless [`idempotent`](Self::idempotent) declares it.
    pub fn new(object_type: impl Into<String>, actions: &[Action], body: BodyFormat) -> Self {
        Self {
            object_type: object_type.into(),
            actions: actions.to_vec(),
            idempotent_actions: Vec::new(),
            max_items: 1,
            max_bytes: 1024 * 1024,
            max_in_flight: 0,
            max_wait: 0,
            mixed_actions: false,
            in_order: false,
            atomic: false,
            write_mode: WriteMode::Replace,
            requests_per_call: 1,
            body,
            example: String::new(),
            references: Vec::new(),
            attrs: Vec::new(),
        }
    }

    /// An object type with the standard body `standard@0.1`.
    pub fn standard(object_type: impl Into<String>, actions: &[Action]) -> Self {
        let body = BodyFormat::Standard("standard@0.1".to_owned());
        Self::new(object_type, actions, body)
    }

    /// Declares the actions that can be repeated safely with the same bytes.
    #[must_use]
    pub fn idempotent(mut self, actions: &[Action]) -> Self {
        self.idempotent_actions = actions.to_vec();
        self
    }

    /// Sets the most items of one call, and the most bytes of their bodies.
    #[must_use]
    pub fn batch(mut self, max_items: u32, max_bytes: u64) -> Self {
        self.max_items = max_items;
        self.max_bytes = max_bytes;
        self
    }

    /// Sets how long a call that is not full may wait for more items.
    #[must_use]
    pub fn max_wait_ms(mut self, wait_ms: u64) -> Self {
        self.max_wait = wait_ms;
        self
    }

    /// Sets the most concurrent calls of one connection.
    #[must_use]
    pub fn max_in_flight(mut self, calls: u32) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// Declares that the items of a call take effect in their order.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.in_order = true;
        self
    }

    /// Allows one call to mix actions.
    #[must_use]
    pub fn mixed_actions(mut self) -> Self {
        self.mixed_actions = true;
        self
    }

    /// Declares that a call takes effect as a whole or not at all.
    #[must_use]
    pub fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// Declares that a write changes only the members of the body.
    #[must_use]
    pub fn patches(mut self) -> Self {
        self.write_mode = WriteMode::Patch;
        self
    }

    /// Sets the estimated number of requests of a full call.
    #[must_use]
    pub fn requests_per_call(mut self, requests: u32) -> Self {
        self.requests_per_call = requests;
        self
    }

    /// Sets an example body.
    #[must_use]
    pub fn example(mut self, body: &Value) -> Self {
        self.example = body.to_string();
        self
    }

    /// Adds a JSON pointer to references in the body. `*` means each element of an array.
    #[must_use]
    pub fn reference(mut self, pointer: &str, object_type: &str) -> Self {
        self.references.push(ReferencePointer {
            pointer: pointer.to_owned(),
            object_type: object_type.to_owned(),
        });
        self
    }
}

impl Bucket {
    /// A limit of the connection that covers all requests.
    pub fn new(name: impl Into<String>, kind: BucketKind) -> Self {
        Self {
            name: name.into(),
            scope: "connection".to_owned(),
            kind,
            counts: None,
            operations: Vec::new(),
        }
    }

    /// Sets who shares the limit: `connection`, `channel`, `connector` or `setting:NAME`.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Counts this cost of requests ([`Request::cost`](crate::Request::cost)) instead of requests.
    /// For token buckets and windows.
    #[must_use]
    pub fn counts(mut self, cost: impl Into<String>) -> Self {
        self.counts = Some(cost.into());
        self
    }

    /// Adds an operation that the limit covers. Without one, it covers all requests.
    #[must_use]
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operations.push(name.into());
        self
    }
}

impl BucketKind {
    /// At most `rate` per `per_ms`, and at most `burst` at once.
    pub fn per(rate: u32, per_ms: u64, burst: u32) -> Self {
        Self::TokenBucket(TokenBucket {
            rate,
            per: per_ms,
            burst,
        })
    }

    /// At most `max` in any `window_ms`.
    pub fn sliding(max: u32, window_ms: u64) -> Self {
        Self::Window(Window {
            max,
            window: window_ms,
            anchor: None,
        })
    }

    /// At most `max` in each of the consecutive windows of `window_ms` (a second or longer), one of
    /// which begins at `anchor_ms` since the Unix epoch: for a quota that restarts every midnight.
    pub fn fixed(max: u32, window_ms: u64, anchor_ms: u64) -> Self {
        Self::Window(Window {
            max,
            window: window_ms,
            anchor: Some(anchor_ms),
        })
    }
}
