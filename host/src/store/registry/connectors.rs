//! Installed connectors, by name and version. The data directory holds the components under their
//! digests.

use egression_core::time::Wall;

use crate::store::engine::sqlite::{self, Row};
use crate::store::engine::writer::WriteTx;
use crate::store::rows::columns;
use crate::store::{Store, StoreError};

/// An installed version of a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorRow {
    pub name: String,
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Its description of itself, as JSON.
    pub description: String,
    pub size_bytes: u64,
    /// New calls go to this version.
    pub active: bool,
    pub installed_at: Wall,
}

impl Store {
    /// Adds or updates a version. `activate`: makes it the active one in the same transaction, and
    /// drops the sessions of connections whose channel uses this connector.
    pub async fn put_connector(&self, row: ConnectorRow, activate: bool) -> Result<(), StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlite::query(
                    "INSERT INTO connector (name, version, digest, description, size_bytes, \
                     installed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name, version) DO \
                     UPDATE SET digest = excluded.digest, description = excluded.description, \
                     size_bytes = excluded.size_bytes, installed_at = excluded.installed_at",
                )
                .bind(&row.name)
                .bind(&row.version)
                .bind(row.digest)
                .bind(row.description)
                .bind(i64::try_from(row.size_bytes).unwrap_or(i64::MAX))
                .bind(row.installed_at.0)
                .execute(&mut tx.conn)?;
                if activate {
                    make_active(tx, &row.name, &row.version).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// All versions, by name and time of installation.
    pub async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        let select = sqlite::query(
            "SELECT name, version, digest, description, size_bytes, active, installed_at FROM \
             connector ORDER BY name, installed_at, version",
        );
        self.all(select, connector).await
    }

    /// The names of the connectors, in order.
    pub async fn connector_names(&self) -> Result<Vec<String>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let names = sqlite::query("SELECT DISTINCT name FROM connector ORDER BY name")
                    .scalars(conn)?;
                Ok(names)
            })
        })
        .await
    }

    /// The versions of one connector, by time of installation.
    pub async fn connector_versions(&self, name: &str) -> Result<Vec<ConnectorRow>, StoreError> {
        let name = name.to_owned();
        self.read(|conn| {
            Box::pin(async move {
                let rows = sqlite::query(
                    "SELECT name, version, digest, description, size_bytes, active, installed_at \
                     FROM connector WHERE name = ?1 ORDER BY installed_at, version",
                )
                .bind(name)
                .fetch_all(conn)?;
                rows.iter().map(connector).collect()
            })
        })
        .await
    }

    /// Makes an installed version the active one and drops the connector's sessions; false if it is
    /// not installed.
    pub async fn activate_connector(&self, name: &str, version: &str) -> Result<bool, StoreError> {
        let (name, version) = (name.to_owned(), version.to_owned());
        self.write(1, move |tx| {
            Box::pin(async move {
                let installed: bool = sqlite::query(
                    "SELECT EXISTS (SELECT 1 FROM connector WHERE name = ?1 AND version = ?2)",
                )
                .bind(&name)
                .bind(&version)
                .scalar(&mut tx.conn)?;
                if installed {
                    make_active(tx, &name, &version).await?;
                }
                Ok(installed)
            })
        })
        .await
    }
}

async fn make_active(tx: &mut WriteTx, name: &str, version: &str) -> Result<(), StoreError> {
    // Two steps, because two versions may never be active.
    sqlite::query("UPDATE connector SET active = FALSE WHERE name = ?1 AND active = TRUE")
        .bind(name)
        .execute(&mut tx.conn)?;
    sqlite::query("UPDATE connector SET active = TRUE WHERE name = ?1 AND version = ?2")
        .bind(name)
        .bind(version)
        .execute(&mut tx.conn)?;
    sqlite::query(
        "DELETE FROM session WHERE connection_id IN (SELECT c.id FROM connection c JOIN channel h \
         ON h.id = c.channel_id WHERE EXISTS (SELECT 1 FROM json_each(h.document) WHERE key = \
         'connector' AND value = ?1))",
    )
    .bind(name)
    .execute(&mut tx.conn)?;
    Ok(())
}

fn connector(row: &Row) -> Result<ConnectorRow, StoreError> {
    Ok(ConnectorRow {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        digest: row.try_get("digest")?,
        description: row.try_get("description")?,
        size_bytes: columns::count(row, "size_bytes")?,
        active: row.try_get("active")?,
        installed_at: Wall(row.try_get("installed_at")?),
    })
}
