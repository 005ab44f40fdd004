//! Encrypted secrets and sessions. The store does not know their content.

use egression_core::domain::ids::ConnectionId;
use egression_core::time::Wall;

use crate::store::engine::sqlite;
use crate::store::rows::{NewSecret, SecretRow, columns};
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
                let generation = sqlite::query(
                    "INSERT INTO secret (owner, name, generation, ciphertext, bound_hosts, \
                     expires_at, origin, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON \
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
                .scalar(&mut tx.conn)?;
                Ok(generation)
            })
        })
        .await
    }

    /// The number of secrets of all owners.
    pub async fn count_secrets(&self) -> Result<i64, StoreError> {
        let count = sqlite::query("SELECT count(*) AS secrets FROM secret");
        let count = self.one(count, |row| row.try_get("secrets")).await?;
        Ok(count.unwrap_or(0))
    }

    /// The secrets of an owner.
    pub async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        let select = sqlite::query(
            "SELECT name, generation, ciphertext, bound_hosts, expires_at, origin FROM secret \
             WHERE owner = ?1 ORDER BY name",
        );
        self.all(select.bind(owner), |row| {
            Ok(SecretRow {
                name: row.try_get("name")?,
                generation: row.try_get("generation")?,
                ciphertext: row.try_get("ciphertext")?,
                bound_hosts: columns::json(row, "bound_hosts")?.unwrap_or_default(),
                expires_at: columns::time(row, "expires_at")?,
                origin: row.try_get("origin")?,
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
        let delete = sqlite::query(
            "DELETE FROM secret WHERE owner = ?1 AND name = ?2 AND (generation = ?3 OR ?3 IS NULL)",
        );
        self.execute(delete.bind(owner).bind(name).bind(generation))
            .await?;
        Ok(())
    }

    pub async fn put_session(
        &self,
        connection: ConnectionId,
        digest: &str,
        ciphertext: Vec<u8>,
        expires_at: Option<Wall>,
        account: Option<&str>,
    ) -> Result<(), StoreError> {
        let put = sqlite::query(
            "INSERT INTO session (connection_id, digest, ciphertext, expires_at, account, \
             updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (connection_id) DO UPDATE SET \
             digest = excluded.digest, ciphertext = excluded.ciphertext, expires_at = \
             excluded.expires_at, account = excluded.account, updated_at = excluded.updated_at",
        )
        .bind(connection.0)
        .bind(digest)
        .bind(ciphertext)
        .bind(expires_at.map(|at| at.0))
        .bind(account)
        .bind(self.inner.clock.wall().0);
        self.execute(put).await?;
        Ok(())
    }

    /// A connection's session: (digest, ciphertext, expiry, account).
    pub async fn session(
        &self,
        connection: ConnectionId,
    ) -> Result<Option<(String, Vec<u8>, Option<Wall>, Option<String>)>, StoreError> {
        let select = sqlite::query(
            "SELECT digest, ciphertext, expires_at, account FROM session WHERE connection_id = ?1",
        );
        self.one(select.bind(connection.0), |row| {
            Ok((
                row.try_get("digest")?,
                row.try_get("ciphertext")?,
                columns::time(row, "expires_at")?,
                row.try_get("account")?,
            ))
        })
        .await
    }

    pub async fn drop_session(&self, connection: ConnectionId) -> Result<(), StoreError> {
        let delete = sqlite::query("DELETE FROM session WHERE connection_id = ?1");
        self.execute(delete.bind(connection.0)).await?;
        Ok(())
    }
}
