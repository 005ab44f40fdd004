//! Documents: subscriptions, sources, channels, connections.

use egression_core::domain::ids::ConnectionId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

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

/// Who looks after a document.
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
    /// Its JSON, secrets taken out.
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
    /// It is looked after by the configuration file.
    #[error("managed by the configuration file")]
    ManagedByFile,
    /// A document that it names does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// Unfinished jobs or other documents need it.
    #[error("{0}")]
    InUse(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

macro_rules! subscription_sql {
    () => {
        "SELECT id, document, version, managed_by, name FROM subscription"
    };
}
macro_rules! source_sql {
    () => {
        "SELECT id, document, version, managed_by, name FROM source"
    };
}
macro_rules! channel_sql {
    () => {
        "SELECT id, document, version, managed_by, name, paused FROM channel"
    };
}
macro_rules! connection_sql {
    () => {
        "SELECT c.id, c.document, c.version, c.managed_by, h.name, s.name, c.state, c.state_reason FROM connection c \
         JOIN channel h ON h.id = c.channel_id JOIN subscription s ON s.id = c.subscription_id"
    };
}

// Only executions that are unfinished or being received are looked at, never the history: CROSS
// JOIN keeps the order, and the `+` keeps the planner from an index of its own over all jobs.

/// Jobs of a connection that cannot be cancelled.
pub(in crate::store) const UNDER_WAY: &str = "SELECT CAST(coalesce(sum(p.in_flight + p.accepted), 0) AS BIGINT) FROM execution x \
     CROSS JOIN progress p WHERE p.execution_seq = x.seq AND x.completed_at IS NULL AND p.connection_id = $1";
/// Whether a connection has unfinished jobs.
pub(in crate::store) const USES_CONNECTION: &str = "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN progress p \
     WHERE p.execution_seq = x.seq AND x.completed_at IS NULL AND p.connection_id = $1 AND p.waiting + p.in_flight + p.accepted > 0)";
/// Whether unfinished jobs read from a source.
pub(in crate::store) const USES_SOURCE: &str = "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN job j \
     WHERE j.id >= x.seq << 24 AND j.id < (x.seq + 1) << 24 AND x.completed_at IS NULL AND j.state <= 2 AND +j.source_id = $1)";

impl DocumentName {
    #[must_use]
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
    /// Writes a document. The version counts up only if the JSON changed. What the API manages
    /// passes to the file when the file names it; the API does not touch what the file manages.
    ///
    /// # Errors
    /// [`DocumentError::Stale`] (version 0: it does not exist), `ManagedByFile`, `Missing` for a
    /// connection's subscription or channel; what the database says.
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
            Box::pin(async move { ended(put(tx, &name, &json, managed_by, if_match, now).await) })
        })
        .await?
    }

    /// Counts a document's version up although its JSON is the same, because a secret that it names
    /// is another one. Answers with the new version.
    ///
    /// # Errors
    /// What the database says, also of a document that is not there.
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

    /// Jobs of a connection that are in flight, or that the destination decides about: they cannot
    /// be cancelled.
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

    /// All documents of a kind, by name (connections by channel and subscription).
    pub async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let all = match kind {
                    DocumentKind::Subscription => {
                        sqlx::query(concat!(subscription_sql!(), " ORDER BY name"))
                    }
                    DocumentKind::Source => sqlx::query(concat!(source_sql!(), " ORDER BY name")),
                    DocumentKind::Channel => sqlx::query(concat!(channel_sql!(), " ORDER BY name")),
                    DocumentKind::Connection => {
                        sqlx::query(concat!(connection_sql!(), " ORDER BY h.name, s.name"))
                    }
                };
                all.fetch_all(conn)
                    .await?
                    .iter()
                    .map(|row| stored(kind, row))
                    .collect()
            })
        })
        .await
    }

    /// Removes a document. Refused while unfinished jobs or other documents need it. The API
    /// refuses what the file manages (`by`: who asks). A connection takes its secrets, its session
    /// and its blocked keys with it; the id map stays.
    ///
    /// # Errors
    /// [`DocumentError::Stale`], `ManagedByFile`, `Missing`, `InUse`; what the database says.
    pub async fn delete_document(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), DocumentError> {
        let name = name.clone();
        self.write(1, move |tx| {
            Box::pin(async move { ended(delete(tx, &name, by, if_match).await) })
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

    /// Keeps what the host found out about a connection (active, parked), unless a person paused it
    /// meanwhile, or it stands otherwise by now than it was judged (`judged`: state and reason).
    /// Whether it was kept.
    ///
    /// # Errors
    /// What the database says, also of another word.
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
                    "UPDATE connection SET state = $1, state_reason = $2 WHERE id = $3 AND state <> 'paused' \
                     AND ((state = $4 AND state_reason IS NOT DISTINCT FROM $5) OR $4 IS NULL)",
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

    /// Sets a connection's state (active, paused, parked) with the reason, as a person says.
    ///
    /// # Errors
    /// What the database says, also of another word.
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

/// A refusal commits nothing, as nothing was written; the store's own trouble undoes the change.
fn ended<T>(end: Result<T, DocumentError>) -> Result<Result<T, DocumentError>, StoreError> {
    match end {
        Err(DocumentError::Store(error)) => Err(error),
        end => Ok(end),
    }
}

async fn find(
    conn: &mut SqliteConnection,
    name: &DocumentName,
) -> Result<Option<StoredDocument>, StoreError> {
    let one = match name {
        DocumentName::Subscription(name) => {
            sqlx::query(concat!(subscription_sql!(), " WHERE name = $1")).bind(name)
        }
        DocumentName::Source(name) => {
            sqlx::query(concat!(source_sql!(), " WHERE name = $1")).bind(name)
        }
        DocumentName::Channel(name) => {
            sqlx::query(concat!(channel_sql!(), " WHERE name = $1")).bind(name)
        }
        DocumentName::Connection {
            channel,
            subscription,
        } => sqlx::query(concat!(
            connection_sql!(),
            " WHERE h.name = $1 AND s.name = $2"
        ))
        .bind(channel)
        .bind(subscription),
    };
    one.fetch_optional(conn)
        .await?
        .map(|row| stored(name.kind(), &row))
        .transpose()
}

fn stored(kind: DocumentKind, row: &SqliteRow) -> Result<StoredDocument, StoreError> {
    let first: String = row.try_get(4)?;
    let name = match kind {
        DocumentKind::Subscription => DocumentName::Subscription(first),
        DocumentKind::Source => DocumentName::Source(first),
        DocumentKind::Channel => DocumentName::Channel(first),
        DocumentKind::Connection => DocumentName::Connection {
            channel: first,
            subscription: row.try_get(5)?,
        },
    };
    let is_connection = kind == DocumentKind::Connection;
    Ok(StoredDocument {
        name,
        id: row.try_get(0)?,
        json: row.try_get(1)?,
        version: row.try_get(2)?,
        managed_by: if row.try_get::<&str, _>(3)? == "file" {
            ManagedBy::File
        } else {
            ManagedBy::Api
        },
        paused: kind == DocumentKind::Channel && row.try_get(5)?,
        state: if is_connection {
            row.try_get(6)?
        } else {
            "active".to_owned()
        },
        state_reason: if is_connection { row.try_get(7)? } else { None },
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

/// Writes over a document. `step`: how far its version goes on.
async fn update(
    tx: &mut WriteTx,
    old: &StoredDocument,
    json: &str,
    by: ManagedBy,
    step: i64,
    now: i64,
) -> Result<(), StoreError> {
    let update = match old.name.kind() {
        DocumentKind::Subscription => {
            "UPDATE subscription SET document = $1, version = version + $2, managed_by = $3, updated_at = $4 WHERE id = $5"
        }
        DocumentKind::Source => {
            "UPDATE source SET document = $1, version = version + $2, managed_by = $3, updated_at = $4 WHERE id = $5"
        }
        DocumentKind::Channel => {
            "UPDATE channel SET document = $1, version = version + $2, managed_by = $3, updated_at = $4 WHERE id = $5"
        }
        DocumentKind::Connection => {
            "UPDATE connection SET document = $1, version = version + $2, managed_by = $3, updated_at = $4 WHERE id = $5"
        }
    };
    sqlx::query(update)
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
    let plain = match name {
        DocumentName::Subscription(name) => Some((
            "INSERT INTO subscription (name, document, managed_by, updated_at) VALUES ($1, $2, $3, $4)",
            name,
        )),
        DocumentName::Source(name) => Some((
            "INSERT INTO source (name, document, managed_by, updated_at) VALUES ($1, $2, $3, $4)",
            name,
        )),
        DocumentName::Channel(name) => Some((
            "INSERT INTO channel (name, document, managed_by, updated_at) VALUES ($1, $2, $3, $4)",
            name,
        )),
        DocumentName::Connection { .. } => None,
    };
    if let Some((insert, name)) = plain {
        sqlx::query(insert)
            .bind(name)
            .bind(json)
            .bind(manager(by))
            .bind(now)
            .execute(&mut tx.conn)
            .await
            .map_err(StoreError::from)?;
    }
    if let DocumentName::Connection {
        channel,
        subscription,
    } = name
    {
        let subscription = must_exist(tx, DocumentName::Subscription(subscription.clone())).await?;
        let channel = must_exist(tx, DocumentName::Channel(channel.clone())).await?;
        sqlx::query("INSERT INTO connection (subscription_id, channel_id, document, managed_by, updated_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(subscription)
            .bind(channel)
            .bind(json)
            .bind(manager(by))
            .bind(now)
            .execute(&mut tx.conn)
            .await
            .map_err(StoreError::from)?;
    }
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
    let deletes: &[&'static str] = match name.kind() {
        DocumentKind::Subscription => &["DELETE FROM subscription WHERE id = $1"],
        DocumentKind::Source => &[
            "DELETE FROM secret WHERE owner = 'source:' || $1",
            "DELETE FROM source WHERE id = $1",
        ],
        DocumentKind::Channel => &["DELETE FROM channel WHERE id = $1"],
        DocumentKind::Connection => &[
            "DELETE FROM secret WHERE owner = 'connection:' || $1",
            "DELETE FROM blocked_key WHERE connection_id = $1",
            "DELETE FROM connection WHERE id = $1",
        ],
    };
    for delete in deletes {
        sqlx::query(*delete)
            .bind(old.id)
            .execute(&mut tx.conn)
            .await
            .map_err(StoreError::from)?;
    }
    Ok(())
}

/// Who needs the document, in words.
async fn user_of(
    tx: &mut WriteTx,
    document: &StoredDocument,
) -> Result<Option<String>, StoreError> {
    let (question, reason) = match document.name.kind() {
        DocumentKind::Subscription => (
            "SELECT EXISTS (SELECT 1 FROM connection WHERE subscription_id = $1) \
             OR EXISTS (SELECT 1 FROM execution WHERE completed_at IS NULL AND subscription_id = $1)",
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
