//! Documents: subscriptions, sources, channels, connections.

use egression_core::domain::ids::ConnectionId;

use crate::store::engine::predicates::is_unfinished;
use crate::store::engine::sqlite::{self, Connection, Row};
use crate::store::engine::writer::WriteTx;
use crate::store::rows::columns;
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

/// A kind of document. Its word is the name of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum DocumentKind {
    Subscription,
    Source,
    Channel,
    Connection,
}

/// The manager of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "lowercase", const_into_str)]
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
pub const UNDER_WAY: &str = "SELECT coalesce(sum(p.in_flight + p.accepted), 0) AS jobs FROM \
    execution x CROSS JOIN progress p WHERE p.execution_seq = x.seq AND x.completed_at IS NULL \
    AND p.connection_id = ?1";
/// Whether a connection has unfinished jobs.
pub const USES_CONNECTION: &str = "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN progress p \
    WHERE p.execution_seq = x.seq AND x.completed_at IS NULL AND p.connection_id = ?1 AND \
    p.waiting + p.in_flight + p.accepted > 0)";
/// Whether unfinished jobs read from a source.
pub const USES_SOURCE: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM execution x CROSS JOIN job j \
     WHERE j.id >= x.seq << 24 AND j.id < (x.seq + 1) << 24 AND x.completed_at IS NULL AND ",
    is_unfinished!("j."),
    " AND +j.source_id = ?1)"
);

impl DocumentKind {
    /// The columns of [`stored`].
    fn select(self) -> String {
        let (names, paused, state, tables) = match self {
            Self::Subscription | Self::Source => (
                "n.name",
                "FALSE",
                "'active' AS state, NULL AS state_reason",
                "",
            ),
            Self::Channel => (
                "n.name",
                "n.paused",
                "'active' AS state, NULL AS state_reason",
                "",
            ),
            Self::Connection => (
                "c.name, s.name AS subscription",
                "FALSE",
                "n.state, n.state_reason",
                "JOIN channel c ON c.id = n.channel_id JOIN subscription s ON s.id = \
                 n.subscription_id",
            ),
        };
        format!(
            "SELECT n.id, n.document, n.version, n.managed_by, {names}, {paused} AS paused, \
             {state} FROM {} n {tables}",
            self.into_str()
        )
    }

    const fn name_columns(self) -> &'static str {
        match self {
            Self::Connection => "c.name, s.name",
            _ => "n.name",
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
        let count = sqlite::query(UNDER_WAY).bind(connection.0);
        let jobs = self.one(count, |row| columns::count(row, "jobs")).await?;
        Ok(jobs.unwrap_or(0))
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
        let select = format!("{} ORDER BY {}", kind.select(), kind.name_columns());
        let select = sqlite::query(select);
        self.all(select, move |row| stored(kind, row)).await
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
        let pause = sqlite::query("UPDATE channel SET paused = ?1 WHERE name = ?2");
        Ok(self.execute(pause.bind(paused).bind(channel)).await? == 1)
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
        let (was, because) = judged.unzip();
        let keep = sqlite::query(
            "UPDATE connection SET state = ?1, state_reason = ?2 WHERE id = ?3 AND state <> \
             'paused' AND ((state = ?4 AND state_reason IS NOT DISTINCT FROM ?5) OR ?4 IS NULL)",
        )
        .bind(state)
        .bind(reason)
        .bind(connection.0)
        .bind(was)
        .bind(because.flatten());
        Ok(self.execute(keep).await? == 1)
    }

    /// Sets a connection's state (active, paused, parked) and its reason, by a person.
    pub async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let set =
            sqlite::query("UPDATE connection SET state = ?1, state_reason = ?2 WHERE id = ?3");
        self.execute(set.bind(state).bind(reason).bind(connection.0))
            .await?;
        Ok(())
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
    conn: &mut Connection,
    name: &DocumentName,
) -> Result<Option<StoredDocument>, StoreError> {
    let kind = name.kind();
    let condition = match kind {
        DocumentKind::Connection => "c.name = ?1 AND s.name = ?2",
        _ => "n.name = ?1",
    };
    let select = format!("{} WHERE {condition}", kind.select());
    let select = sqlite::query(select);
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
        .fetch_optional(conn)?
        .map(|row| stored(kind, &row))
        .transpose()
}

fn stored(kind: DocumentKind, row: &Row) -> Result<StoredDocument, StoreError> {
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
    let managed_by: &str = row.try_get("managed_by")?;
    Ok(StoredDocument {
        name,
        id: row.try_get("id")?,
        json: row.try_get("document")?,
        version: row.try_get("version")?,
        managed_by: managed_by.parse().unwrap_or(ManagedBy::Api),
        paused: row.try_get("paused")?,
        state: row.try_get("state")?,
        state_reason: row.try_get("state_reason")?,
    })
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
        "UPDATE {} SET document = ?1, version = version + ?2, managed_by = ?3, updated_at = ?4 \
         WHERE id = ?5",
        old.name.kind().into_str()
    );
    sqlite::query(update)
        .bind(json)
        .bind(step)
        .bind(by.into_str())
        .bind(now)
        .bind(old.id)
        .execute(&mut tx.conn)?;
    Ok(())
}

async fn insert(
    tx: &mut WriteTx,
    name: &DocumentName,
    json: &str,
    by: ManagedBy,
    now: i64,
) -> Result<(), DocumentError> {
    let table = name.kind().into_str();
    let insert = |own: &str, values: &str| {
        let insert = format!(
            "INSERT INTO {table} (document, managed_by, updated_at, {own}) VALUES (?1, ?2, ?3, \
             {values})"
        );
        sqlite::query(insert)
            .bind(json)
            .bind(by.into_str())
            .bind(now)
    };
    let insert = match name {
        DocumentName::Subscription(text)
        | DocumentName::Source(text)
        | DocumentName::Channel(text) => insert("name", "?4").bind(text),
        DocumentName::Connection {
            channel,
            subscription,
        } => {
            let subscription = DocumentName::Subscription(subscription.clone());
            let subscription = must_exist(tx, subscription).await?;
            let channel = must_exist(tx, DocumentName::Channel(channel.clone())).await?;
            insert("subscription_id, channel_id", "?4, ?5")
                .bind(subscription)
                .bind(channel)
        }
    };
    insert.execute(&mut tx.conn)?;
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
        DocumentKind::Source => &["DELETE FROM secret WHERE owner = 'source:' || ?1"],
        DocumentKind::Connection => &[
            "DELETE FROM secret WHERE owner = 'connection:' || ?1",
            "DELETE FROM blocked_key WHERE connection_id = ?1",
        ],
    };
    let own = format!("DELETE FROM {} WHERE id = ?1", name.kind().into_str());
    let deletes = owned.iter().map(|delete| (*delete).to_owned()).chain([own]);
    for delete in deletes {
        sqlite::query(delete).bind(old.id).execute(&mut tx.conn)?;
    }
    Ok(())
}

/// Why a subscription that a source or channel lists is needed: a later one of the same name would
/// inherit the access.
pub const LISTED: &str = "a source or channel lists it in `subscriptions`";

/// Whether a source or channel lists a subscription.
const LISTS_SUBSCRIPTION: &str = "SELECT EXISTS (SELECT 1 FROM (SELECT document FROM source UNION \
    ALL SELECT document FROM channel) d, json_each(d.document, '$.subscriptions') n \
    WHERE n.value = (SELECT name FROM subscription WHERE id = ?1))";

/// The reason for which the document is needed.
async fn user_of(
    tx: &mut WriteTx,
    document: &StoredDocument,
) -> Result<Option<String>, StoreError> {
    let questions: &[(&'static str, &str)] = match document.name.kind() {
        DocumentKind::Subscription => &[
            (
                "SELECT EXISTS (SELECT 1 FROM connection WHERE subscription_id = ?1) OR EXISTS \
                 (SELECT 1 FROM execution WHERE completed_at IS NULL AND subscription_id = ?1)",
                "it has connections or unfinished jobs",
            ),
            (LISTS_SUBSCRIPTION, LISTED),
        ],
        DocumentKind::Channel => &[(
            "SELECT EXISTS (SELECT 1 FROM connection WHERE channel_id = ?1)",
            "it has connections",
        )],
        DocumentKind::Connection => &[(USES_CONNECTION, "it has unfinished jobs")],
        DocumentKind::Source => &[(USES_SOURCE, "unfinished jobs read from it")],
    };
    for (question, reason) in questions {
        let used: bool = sqlite::query(*question)
            .bind(document.id)
            .scalar(&mut tx.conn)?;
        if used {
            return Ok(Some((*reason).to_owned()));
        }
    }
    Ok(None)
}
