//! Encrypted secrets and sessions. The store does not know their content.

use egression_core::domain::ids::ConnectionId;
use egression_core::time::Wall;
use sqlx::Row as _;

use crate::store::rows::{NewSecret, SecretRow};
use crate::store::{Store, StoreError};

impl Store {
    /// Stores a secret as a new generation and returns that. `owner`: `connection:7`, `source:3`. A
    /// generation is not reused while the host runs, so a holder of a dropped generation cannot
    /// mistake a newer one for it.
    pub async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        secret: NewSecret,
    ) -> Result<i64, StoreError> {
        let (owner, name) = (owner.to_owned(), name.to_owned());
        let hosts = serde_json::to_string(&secret.bound_hosts)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let now = self.inner.clock.wall();
        self.write(1, move |tx| {
            Box::pin(async move {
                let number = tx.next_number();
                let generation = sqlx::query_scalar(
                    "INSERT INTO secret (owner, name, generation, ciphertext, bound_hosts, \
                     expires_at, origin, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON \
                     CONFLICT (owner, name) DO UPDATE SET generation = CASE WHEN \
                     secret.generation >= excluded.generation THEN secret.generation + 1 ELSE \
                     excluded.generation END, ciphertext = excluded.ciphertext, bound_hosts = \
                     excluded.bound_hosts, expires_at = excluded.expires_at, origin = \
                     excluded.origin, updated_at = excluded.updated_at RETURNING generation",
                )
                .bind(owner)
                .bind(name)
                .bind(number)
                .bind(secret.ciphertext)
                .bind(hosts)
                .bind(secret.expires_at.map(|at| at.0))
                .bind(secret.origin)
                .bind(now.0)
                .fetch_one(&mut tx.conn)
                .await?;
                Ok(generation)
            })
        })
        .await
    }

    /// The number of secrets of all owners.
    pub async fn count_secrets(&self) -> Result<i64, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                Ok(sqlx::query_scalar("SELECT count(*) FROM secret")
                    .fetch_one(conn)
                    .await?)
            })
        })
        .await
    }

    /// The secrets of an owner.
    pub async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        let owner = owner.to_owned();
        self.read(move |conn| {
            Box::pin(async move {
                let select =
                    "SELECT name, generation, ciphertext, bound_hosts, expires_at, origin FROM \
                     secret WHERE owner = $1 ORDER BY name";
                let rows = sqlx::query(select).bind(owner).fetch_all(conn).await?;
                rows.iter()
                    .map(|row| {
                        let corrupt = |error| StoreError::Corrupt(format!("bound_hosts: {error}"));
                        let bound_hosts =
                            serde_json::from_str(row.try_get("bound_hosts")?).map_err(corrupt)?;
                        let expires_at: Option<i64> = row.try_get("expires_at")?;
                        Ok(SecretRow {
                            name: row.try_get("name")?,
                            generation: row.try_get("generation")?,
                            ciphertext: row.try_get("ciphertext")?,
                            bound_hosts,
                            expires_at: expires_at.map(Wall),
                            origin: row.try_get("origin")?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// Deletes a secret, of this generation only if one is given.
    pub async fn drop_secret(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), StoreError> {
        let (owner, name) = (owner.to_owned(), name.to_owned());
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "DELETE FROM secret WHERE owner = $1 AND name = $2 AND (generation = \
                    $3 OR $3 IS NULL)",
                )
                .bind(owner)
                .bind(name)
                .bind(generation)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    pub async fn put_session(
        &self,
        connection: ConnectionId,
        digest: &str,
        ciphertext: Vec<u8>,
        expires_at: Option<Wall>,
        account: Option<&str>,
    ) -> Result<(), StoreError> {
        let (digest, account) = (digest.to_owned(), account.map(str::to_owned));
        let now = self.inner.clock.wall();
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO session (connection_id, digest, ciphertext, expires_at, account, \
                     updated_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connection_id) DO \
                     UPDATE SET digest = excluded.digest, ciphertext = excluded.ciphertext, \
                     expires_at = excluded.expires_at, account = excluded.account, updated_at = \
                     excluded.updated_at",
                )
                .bind(connection.0)
                .bind(digest)
                .bind(ciphertext)
                .bind(expires_at.map(|at| at.0))
                .bind(account)
                .bind(now.0)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// A connection's session: (digest, ciphertext, expiry, account).
    pub async fn session(
        &self,
        connection: ConnectionId,
    ) -> Result<Option<(String, Vec<u8>, Option<Wall>, Option<String>)>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let row = sqlx::query(
                    "SELECT digest, ciphertext, expires_at, account FROM \
                    session WHERE connection_id = $1",
                )
                .bind(connection.0)
                .fetch_optional(conn)
                .await?;
                row.map(|row| {
                    let expires_at: Option<i64> = row.try_get("expires_at")?;
                    Ok((
                        row.try_get("digest")?,
                        row.try_get("ciphertext")?,
                        expires_at.map(Wall),
                        row.try_get("account")?,
                    ))
                })
                .transpose()
            })
        })
        .await
    }

    pub async fn drop_session(&self, connection: ConnectionId) -> Result<(), StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM session WHERE connection_id = $1")
                    .bind(connection.0)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
