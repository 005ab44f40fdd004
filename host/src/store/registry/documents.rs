//! Documents: subscriptions, sources, channels, connections.

use egression_core::domain::ids::ConnectionId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::engine::predicates::is_unfinished;
use crate::store::engine::writer::WriteTx;
use crate::store::{Store, StoreError};

/// The name of a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentName {
    Subscription(String),
    Source(String),
    Channel(String),
    Connection {
        channel: String,
        subscription: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    Subscription,
    Source,
    Channel,
    Connection,
}

/// The manager of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedBy {
    File,
    Api,
}

#[derive(Clone, Debug)]
pub struct StoredDocument {
    pub name: DocumentName,
    /// The store's number: subscription, source, channel or connection id.
    pub id: i64,
    /// Its JSON without secrets.
    pub json: String,
    pub version: i64,
    pub managed_by: ManagedBy,
    pub paused: bool,
    /// A connection's state: active, paused, parked.
    pub state: String,
    pub state_reason: Option<String>,
}

/// Why a document was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// `If-Match` names another version.
    #[error("the document is at version {current}")]
    Stale { current: i64 },
    /// The configuration file manages it.
    #[error("managed by the configuration file")]
    ManagedByFile,
    #[error("{0} does not exist")]
    Missing(String),
    #[error("{0}")]
    InUse(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

// These read unfinished and unsealed executions only, never the history: CROSS JOIN keeps the
// order, and the `+` keeps the planner from an index of its own over all jobs.

/// The number of a connection's jobs that cannot be cancelled.
pub const UNDER_WAY: &str = "SELECT coalesce(sum(p.in_flight + p.accepted), 0) FROM execution x \
    CROSS JOIN progress p WHERE p.execution_seq = x.seq AND x.completed_at IS NULL AND \
    p.connection_id = $1";
/// Whether a connection has unfinished jobs.
pub const USES_CONNECTION: &str = "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN progress p \
    WHERE p.execution_seq = x.seq AND x.completed_at IS NULL AND p.connection_id = $1 AND \
    p.waiting + p.in_flight + p.accepted > 0)";
/// Whether unfinished jobs read from a source.
pub const USES_SOURCE: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN job j \
     WHERE j.id >= x.seq << 24 AND j.id < (x.seq + 1) << 24 AND x.completed_at IS NULL AND ",
    is_unfinished!("j."),
    " AND +j.source_id = $1)"
);

impl DocumentKind {
    const fn table(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Source => "source",
            Self::Channel => "channel",
            Self::Connection => "connection",
        }
    }

    /// The columns of [`stored`].
    const fn select(self) -> &'static str {
        match self {
            Self::Subscription => {
                "SELECT id, document, version, managed_by, name, FALSE AS paused, \
                 'active' AS state, NULL AS state_reason FROM subscription"
            }
            Self::Source => {
                "SELECT id, document, version, managed_by, name, FALSE AS paused, \
                 'active' AS state, NULL AS state_reason FROM source"
            }
            Self::Channel => {
                "SELECT id, document, version, managed_by, name, paused, \
                 'active' AS state, NULL AS state_reason FROM channel"
            }
            Self::Connection => {
                "SELECT n.id, n.document, n.version, n.managed_by, c.name, s.name AS subscription, \
                 FALSE AS paused, n.state, n.state_reason FROM connection n \
                 JOIN channel c ON c.id = n.channel_id \
                 JOIN subscription s ON s.id = n.subscription_id"
            }
        }
    }

    const fn name_columns(self) -> &'static str {
        match self {
            Self::Connection => "c.name, s.name",
            _ => "name",
        }
    }
}

impl DocumentName {
    pub const fn kind(&self) -> DocumentKind {
        match self {
            Self::Subscription(_) => DocumentKind::Subscription,
            Self::Source(_) => DocumentKind::Source,
            Self::Channel(_) => DocumentKind::Channel,
            Self::Connection { .. } => DocumentKind::Connection,
        }
    }
}

impl std::fmt::Display for DocumentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subscription(name) => write!(f, "subscription `{name}`"),
            Self::Source(name) => write!(f, "source `{name}`"),
            Self::Channel(name) => write!(f, "channel `{name}`"),
            Self::Connection {
                channel,
                subscription,
            } => write!(f, "connection of `{subscription}` on `{channel}`"),
        }
    }
}

impl Store {
    /// Writes a document. The version rises only if the JSON changed. The file takes over documents
    /// of the API that it names; the API does not change documents of the file. Errors:
    /// [`DocumentError::Stale`] (version 0: it does not exist), `ManagedByFile`, and `Missing` for
    /// a connection's subscription or channel.
    pub async fn put_document(
        &self,
        name: &DocumentName,
        json: &str,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<StoredDocument, DocumentError> {
        let (name, json) = (name.clone(), json.to_owned());
        let now = self.inner.clock.wall().0;
        self.write(1, move |tx| {
            Box::pin(async move {
                refusal_or_error(put(tx, &name, &json, managed_by, if_match, now).await)
            })
        })
        .await?
    }

    /// Raises a document's version although its JSON is unchanged, because a secret that it names
    /// changed. Returns the new version.
    pub async fn renew_document(&self, name: &DocumentName) -> Result<i64, StoreError> {
        let name = name.clone();
        let now = self.inner.clock.wall().0;
        self.write(1, move |tx| {
            Box::pin(async move {
                let gone = || StoreError::Corrupt(format!("{name} is gone"));
                let old = find(&mut tx.conn, &name).await?.ok_or_else(gone)?;
                update(tx, &old, &old.json, old.managed_by, 1, now).await?;
                Ok(old.version + 1)
            })
        })
        .await
    }

    /// The number of a connection's jobs that are in flight or accepted, and so cannot be
    /// cancelled.
    pub async fn jobs_under_way(&self, connection: ConnectionId) -> Result<u64, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let jobs: i64 = sqlx::query_scalar(UNDER_WAY)
                    .bind(connection.0)
                    .fetch_one(conn)
                    .await?;
                Ok(u64::try_from(jobs).unwrap_or(0))
            })
        })
        .await
    }

    pub async fn document(
        &self,
        name: &DocumentName,
    ) -> Result<Option<StoredDocument>, StoreError> {
        let name = name.clone();
        self.read(move |conn| Box::pin(async move { find(conn, &name).await }))
            .await
    }

    /// All documents of a kind, by name; connections by channel and subscription.
    pub async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let select = format!("{} ORDER BY {}", kind.select(), kind.name_columns());
                sqlx::query(sqlx::AssertSqlSafe(select))
                    .fetch_all(conn)
                    .await?
                    .iter()
                    .map(|row| stored(kind, row))
                    .collect()
            })
        })
        .await
    }

    /// Removes a document, unless unfinished jobs or other documents need it. `by`: the caller; the
    /// API may not remove documents of the file. The secrets, session and blocked keys of a
    /// connection go with it; its id map stays. Errors: [`DocumentError::Stale`], `ManagedByFile`,
    /// `Missing`, `InUse`.
    pub async fn delete_document(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), DocumentError> {
        let name = name.clone();
        self.write(1, move |tx| {
            Box::pin(async move { refusal_or_error(delete(tx, &name, by, if_match).await) })
        })
        .await?
    }

    /// Pauses or resumes a channel; false if there is none.
    pub async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        let channel = channel.to_owned();
        self.write(1, move |tx| {
            Box::pin(async move {
                let found = sqlx::query("UPDATE channel SET paused = $1 WHERE name = $2")
                    .bind(paused)
                    .bind(channel)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(found.rows_affected() == 1)
            })
        })
        .await
    }

    /// Stores the state that the host found for a connection (active, parked); false if a person
    /// paused it meanwhile, or if it is no longer in the state on which the host decided (`judged`:
    /// state and reason).
    pub async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        (state, reason): (&str, Option<&str>),
        judged: Option<(&str, Option<&str>)>,
    ) -> Result<bool, StoreError> {
        let owned =
            |(state, reason): (&str, Option<&str>)| (state.to_owned(), reason.map(str::to_owned));
        let ((state, reason), judged) = (owned((state, reason)), judged.map(owned));
        self.write(1, move |tx| {
            Box::pin(async move {
                let (was, because) = judged.unzip();
                let kept = sqlx::query(
                    "UPDATE connection SET state = $1, state_reason = $2 WHERE id = $3 AND state \
                     <> 'paused' AND ((state = $4 AND state_reason IS NOT DISTINCT FROM $5) OR $4 \
                     IS NULL)",
                )
                .bind(state)
                .bind(reason)
                .bind(connection.0)
                .bind(was)
                .bind(because.flatten())
                .execute(&mut tx.conn)
                .await?;
                Ok(kept.rows_affected() == 1)
            })
        })
        .await
    }

    /// Sets a connection's state (active, paused, parked) and its reason, by a person.
    pub async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let (state, reason) = (state.to_owned(), reason.map(str::to_owned));
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE connection SET state = $1, state_reason = $2 WHERE id = $3")
                    .bind(state)
                    .bind(reason)
                    .bind(connection.0)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

/// A refusal wrote nothing, so its commit is harmless; an error of the store undoes the change.
fn refusal_or_error<T>(
    end: Result<T, DocumentError>,
) -> Result<Result<T, DocumentError>, StoreError> {
    match end {
        Err(DocumentError::Store(error)) => Err(error),
        end => Ok(end),
    }
}

async fn find(
    conn: &mut SqliteConnection,
    name: &DocumentName,
) -> Result<Option<StoredDocument>, StoreError> {
    let kind = name.kind();
    let condition = match kind {
        DocumentKind::Connection => "c.name = $1 AND s.name = $2",
        _ => "name = $1",
    };
    let select = format!("{} WHERE {condition}", kind.select());
    let select = sqlx::query(sqlx::AssertSqlSafe(select));
    let select = match name {
        DocumentName::Subscription(name)
        | DocumentName::Source(name)
        | DocumentName::Channel(name) => select.bind(name),
        DocumentName::Connection {
            channel,
            subscription,
        } => select.bind(channel).bind(subscription),
    };
    select
        .fetch_optional(conn)
        .await?
        .map(|row| stored(kind, &row))
        .transpose()
}

fn stored(kind: DocumentKind, row: &SqliteRow) -> Result<StoredDocument, StoreError> {
    let first: String = row.try_get("name")?;
    let name = match kind {
        DocumentKind::Subscription => DocumentName::Subscription(first),
        DocumentKind::Source => DocumentName::Source(first),
        DocumentKind::Channel => DocumentName::Channel(first),
        DocumentKind::Connection => DocumentName::Connection {
            channel: first,
            subscription: row.try_get("subscription")?,
        },
    };
    let managed_by = match row.try_get("managed_by")? {
        "file" => ManagedBy::File,
        _ => ManagedBy::Api,
    };
    Ok(StoredDocument {
        name,
        id: row.try_get("id")?,
        json: row.try_get("document")?,
        version: row.try_get("version")?,
        managed_by,
        paused: row.try_get("paused")?,
        state: row.try_get("state")?,
        state_reason: row.try_get("state_reason")?,
    })
}

const fn manager(by: ManagedBy) -> &'static str {
    match by {
        ManagedBy::File => "file",
        ManagedBy::Api => "api",
    }
}

fn may_touch(
    old: Option<&StoredDocument>,
    by: ManagedBy,
    if_match: Option<i64>,
) -> Result<(), DocumentError> {
    let current = old.map_or(0, |old| old.version);
    if if_match.is_some_and(|wanted| wanted != current) {
        return Err(DocumentError::Stale { current });
    }
    if by == ManagedBy::Api && old.is_some_and(|old| old.managed_by == ManagedBy::File) {
        return Err(DocumentError::ManagedByFile);
    }
    Ok(())
}

async fn put(
    tx: &mut WriteTx,
    name: &DocumentName,
    json: &str,
    by: ManagedBy,
    if_match: Option<i64>,
    now: i64,
) -> Result<StoredDocument, DocumentError> {
    let old = find(&mut tx.conn, name).await?;
    may_touch(old.as_ref(), by, if_match)?;
    if let Some(old) = old {
        if old.json != json || old.managed_by != by {
            update(tx, &old, json, by, i64::from(old.json != json), now).await?;
        }
    } else {
        insert(tx, name, json, by, now).await?;
    }
    find(&mut tx.conn, name)
        .await?
        .ok_or_else(|| StoreError::Corrupt(format!("{name} is gone")).into())
}

/// Overwrites a document. `step`: the increase of its version.
async fn update(
    tx: &mut WriteTx,
    old: &StoredDocument,
    json: &str,
    by: ManagedBy,
    step: i64,
    now: i64,
) -> Result<(), StoreError> {
    let update = format!(
        "UPDATE {} SET document = $1, version = version + $2, managed_by = $3, updated_at = $4 \
         WHERE id = $5",
        old.name.kind().table()
    );
    sqlx::query(sqlx::AssertSqlSafe(update))
        .bind(json)
        .bind(step)
        .bind(manager(by))
        .bind(now)
        .bind(old.id)
        .execute(&mut tx.conn)
        .await?;
    Ok(())
}

async fn insert(
    tx: &mut WriteTx,
    name: &DocumentName,
    json: &str,
    by: ManagedBy,
    now: i64,
) -> Result<(), DocumentError> {
    match name {
        DocumentName::Subscription(text)
        | DocumentName::Source(text)
        | DocumentName::Channel(text) => {
            let insert = format!(
                "INSERT INTO {} (name, document, managed_by, updated_at) VALUES ($1, $2, $3, $4)",
                name.kind().table()
            );
            sqlx::query(sqlx::AssertSqlSafe(insert))
                .bind(text)
                .bind(json)
                .bind(manager(by))
                .bind(now)
                .execute(&mut tx.conn)
                .await
        }
        DocumentName::Connection {
            channel,
            subscription,
        } => {
            let subscription = DocumentName::Subscription(subscription.clone());
            let subscription = must_exist(tx, subscription).await?;
            let channel = must_exist(tx, DocumentName::Channel(channel.clone())).await?;
            sqlx::query(
                "INSERT INTO connection \
                 (subscription_id, channel_id, document, managed_by, updated_at) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(subscription)
            .bind(channel)
            .bind(json)
            .bind(manager(by))
            .bind(now)
            .execute(&mut tx.conn)
            .await
        }
    }
    .map_err(StoreError::from)?;
    Ok(())
}

async fn must_exist(tx: &mut WriteTx, name: DocumentName) -> Result<i64, DocumentError> {
    find(&mut tx.conn, &name)
        .await?
        .map(|document| document.id)
        .ok_or_else(|| DocumentError::Missing(name.to_string()))
}

async fn delete(
    tx: &mut WriteTx,
    name: &DocumentName,
    by: ManagedBy,
    if_match: Option<i64>,
) -> Result<(), DocumentError> {
    let old = find(&mut tx.conn, name).await?;
    let Some(old) = old else {
        return Err(DocumentError::Missing(name.to_string()));
    };
    may_touch(Some(&old), by, if_match)?;
    if let Some(reason) = user_of(tx, &old).await? {
        return Err(DocumentError::InUse(format!("{name} is needed: {reason}")));
    }
    let owned: &[&'static str] = match name.kind() {
        DocumentKind::Subscription | DocumentKind::Channel => &[],
        DocumentKind::Source => &["DELETE FROM secret WHERE owner = 'source:' || $1"],
        DocumentKind::Connection => &[
            "DELETE FROM secret WHERE owner = 'connection:' || $1",
            "DELETE FROM blocked_key WHERE connection_id = $1",
        ],
    };
    let own = format!("DELETE FROM {} WHERE id = $1", name.kind().table());
    let deletes = owned.iter().map(|delete| (*delete).to_owned()).chain([own]);
    for delete in deletes {
        sqlx::query(sqlx::AssertSqlSafe(delete))
            .bind(old.id)
            .execute(&mut tx.conn)
            .await
            .map_err(StoreError::from)?;
    }
    Ok(())
}

/// The reason for which the document is needed.
async fn user_of(
    tx: &mut WriteTx,
    document: &StoredDocument,
) -> Result<Option<String>, StoreError> {
    let (question, reason) = match document.name.kind() {
        DocumentKind::Subscription => (
            "SELECT EXISTS (SELECT 1 FROM connection WHERE subscription_id = $1) OR EXISTS \
             (SELECT 1 FROM execution WHERE completed_at IS NULL AND subscription_id = $1)",
            "it has connections or unfinished jobs",
        ),
        DocumentKind::Channel => (
            "SELECT EXISTS (SELECT 1 FROM connection WHERE channel_id = $1)",
            "it has connections",
        ),
        DocumentKind::Connection => (USES_CONNECTION, "it has unfinished jobs"),
        DocumentKind::Source => (USES_SOURCE, "unfinished jobs read from it"),
    };
    let used: bool = sqlx::query_scalar(question)
        .bind(document.id)
        .fetch_one(&mut tx.conn)
        .await?;
    Ok(used.then(|| reason.to_owned()))
}
