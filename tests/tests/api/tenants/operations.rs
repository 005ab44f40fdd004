//! The role that each operation of the API requires, and the parts of its request that name
//! something. An operation without an entry fails the walk until its author adds one.

use serde_json::{Value, json};

/// The least key that may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Nothing,
    Read,
    Submit,
    Admin,
    /// A key of any role for all subscriptions.
    Unbound,
    /// An admin key for all subscriptions.
    Operator,
}

/// The kind of thing that a part of a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Subscription,
    Source,
    Channel,
    Connector,
    Execution,
    Job,
    Key,
    Limit,
    ObjectId,
}

#[derive(Clone, Copy, Debug)]
pub enum Body {
    None,
    /// A valid body. Its names are placeholders at these pointers; the other fields name nothing.
    Json {
        template: fn() -> Value,
        names: &'static [(&'static str, Name)],
        plain: &'static [&'static str],
    },
    /// Of this content type, and invalid.
    Other(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub id: &'static str,
    pub needs: Needs,
    /// The kinds of things that the path names, in order.
    pub path: &'static [Name],
    /// The query parameters that name something.
    pub query: &'static [(&'static str, Name)],
    /// The query parameters that name nothing.
    pub plain: &'static [&'static str],
    /// Parameters of every request.
    pub always: &'static str,
    /// The query parameters exclude each other: a request has one of them.
    pub apart: bool,
    pub body: Body,
}

const fn operation(id: &'static str, needs: Needs, path: &'static [Name]) -> Operation {
    Operation {
        id,
        needs,
        path,
        query: &[],
        plain: &[],
        always: "",
        apart: false,
        body: Body::None,
    }
}

impl Operation {
    const fn plain(self, plain: &'static [&'static str]) -> Self {
        Self { plain, ..self }
    }

    const fn query(self, query: &'static [(&'static str, Name)]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

const CONNECTION: &[Name] = &[Name::Channel, Name::Subscription];
const PAGE: &[&str] = &["limit", "cursor"];
const SUBMISSION: &[&str] = &[
    "action",
    "channels",
    "client_ref",
    "context",
    "depends_on",
    "expires_at",
    "full",
    "object_ids",
    "object_type",
    "partition_key",
    "payload",
    "priority",
    "revision",
    "scheduled_at",
];

fn submission() -> Value {
    json!({"subscription": "", "source": "", "channel": "", "action": "upsert",
        "object_type": "product", "object_ids": ["walk"], "payload": {}})
}

pub const OPERATIONS: &[Operation] = &[
    operation("livez", Needs::Nothing, &[]),
    operation("readyz", Needs::Nothing, &[]),
    operation("metrics", Needs::Unbound, &[]),
    operation("submitJob", Needs::Submit, &[]).body(Body::Json {
        template: submission,
        names: &[
            ("/subscription", Name::Subscription),
            ("/source", Name::Source),
            ("/channel", Name::Channel),
        ],
        plain: SUBMISSION,
    }),
    operation("submitBulk", Needs::Submit, &[]).body(Body::Json {
        template: || json!({"defaults": {"subscription": ""}, "jobs": [submission()]}),
        names: &[
            ("/defaults/subscription", Name::Subscription),
            ("/jobs/0/subscription", Name::Subscription),
            ("/jobs/0/source", Name::Source),
            ("/jobs/0/channel", Name::Channel),
        ],
        plain: &["defaults", "jobs"],
    }),
    operation("listExecutions", Needs::Read, &[])
        .query(&[("subscription", Name::Subscription)])
        .plain(&["status", "context.NAME", "limit", "cursor"]),
    operation("getExecution", Needs::Read, &[Name::Execution]),
    operation("listJobs", Needs::Read, &[Name::Execution])
        .query(&[("channel", Name::Channel), ("object_id", Name::ObjectId)])
        .plain(&["state", "object_type", "code", "limit", "cursor"]),
    operation("getJob", Needs::Read, &[Name::Job]),
    operation("listJobEvents", Needs::Read, &[Name::Job]).plain(PAGE),
    Operation {
        always: "type=product",
        ..operation("listObjectJobs", Needs::Read, &[])
            .query(&[("id", Name::ObjectId), ("subscription", Name::Subscription)])
            .plain(&["type", "limit", "cursor"])
    },
    Operation {
        apart: true,
        ..operation("listLimits", Needs::Read, &[]).query(&[
            ("channel", Name::Channel),
            ("subscription", Name::Subscription),
            ("source", Name::Source),
        ])
    },
    operation("reopenLimit", Needs::Admin, &[Name::Limit]),
    operation("cancelExecution", Needs::Submit, &[Name::Execution]),
    operation("pauseExecution", Needs::Submit, &[Name::Execution]),
    operation("resumeExecution", Needs::Submit, &[Name::Execution]),
    operation("cancelJob", Needs::Submit, &[Name::Job]),
    operation("pauseChannel", Needs::Operator, &[Name::Channel]),
    operation("resumeChannel", Needs::Operator, &[Name::Channel]),
    operation("checkConnection", Needs::Admin, CONNECTION),
    operation("pauseConnection", Needs::Admin, CONNECTION),
    operation("resumeConnection", Needs::Admin, CONNECTION),
    operation("listSubscriptions", Needs::Read, &[]),
    operation("getSubscription", Needs::Read, &[Name::Subscription]),
    operation("putSubscription", Needs::Operator, &[Name::Subscription]).body(Body::Json {
        template: || json!({}),
        names: &[],
        plain: &["name", "weight"],
    }),
    operation("deleteSubscription", Needs::Operator, &[Name::Subscription]).plain(&["cancel_jobs"]),
    operation("listSources", Needs::Read, &[]),
    operation("getSource", Needs::Read, &[Name::Source]),
    operation("putSource", Needs::Admin, &[Name::Source]).body(Body::Json {
        template: || json!({"kind": "inline", "subscriptions": [""]}),
        names: &[("/subscriptions/0", Name::Subscription)],
        plain: &[
            "allow_addresses",
            "auth",
            "batch_url",
            "kind",
            "limits",
            "max_batch",
            "max_object_bytes",
            "name",
            "object_url",
            "timeout_ms",
        ],
    }),
    operation("deleteSource", Needs::Operator, &[Name::Source]),
    operation("listChannels", Needs::Read, &[]),
    operation("getChannel", Needs::Read, &[Name::Channel]),
    operation("putChannel", Needs::Operator, &[Name::Channel]).body(Body::Json {
        // The connector may be installed later, so its name is not looked up.
        template: || json!({"connector": "sandbox", "subscriptions": [""]}),
        names: &[("/subscriptions/0", Name::Subscription)],
        plain: &[],
    }),
    operation("deleteChannel", Needs::Operator, &[Name::Channel]).plain(&["cancel_jobs"]),
    operation("listConnections", Needs::Read, &[Name::Channel]),
    operation("getConnection", Needs::Read, CONNECTION),
    operation("putConnection", Needs::Admin, CONNECTION).body(Body::Json {
        template: || json!({"settings": {"base_url": "https://shop.example"}}),
        names: &[],
        plain: &[
            "allow_addresses",
            "allow_hosts",
            "auth",
            // The path gives these two; a body that differs is refused.
            "channel",
            "limits",
            "settings",
            "subscription",
        ],
    }),
    operation("deleteConnection", Needs::Admin, CONNECTION).plain(&["cancel_jobs"]),
    operation("applyDocuments", Needs::Operator, &[]).body(Body::Other("application/toml")),
    operation("listConnectors", Needs::Read, &[]).plain(PAGE),
    operation("installConnector", Needs::Operator, &[])
        .plain(&["activate"])
        .body(Body::Other("application/wasm")),
    operation("getConnector", Needs::Read, &[Name::Connector]),
    operation("activateConnector", Needs::Operator, &[Name::Connector]).body(Body::Json {
        template: || json!({"version": "0.0.0"}),
        names: &[],
        plain: &["version"],
    }),
    operation("listKeys", Needs::Admin, &[]),
    operation("createKey", Needs::Admin, &[]).body(Body::Json {
        template: || json!({"role": "read", "subscription": ""}),
        names: &[("/subscription", Name::Subscription)],
        plain: &["role", "label"],
    }),
    operation("revokeKey", Needs::Admin, &[Name::Key]),
];
