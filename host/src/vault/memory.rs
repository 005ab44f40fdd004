//! The vault's rows in memory, to be looked into by tests.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::SecretFacts;
use crate::store::StoreError;
use crate::store::rows::{NewSecret, SecretRow};

/// Rows with their owner. Cheap to clone; clones share the rows.
#[derive(Clone, Default)]
pub(crate) struct SecretsInMemory {
    pub(crate) rows: Arc<Mutex<Vec<(String, SecretRow)>>>,
}

#[async_trait]
#[allow(clippy::unwrap_used)]
impl SecretFacts for SecretsInMemory {
    async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        secret: NewSecret,
    ) -> Result<i64, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let at = rows.iter().position(|(o, r)| o == owner && r.name == name);
        let generation = at.map_or(1, |i| rows[i].1.generation + 1);
        let NewSecret {
            ciphertext,
            bound_hosts,
            expires_at,
            origin,
        } = secret;
        let row = (
            owner.to_owned(),
            SecretRow {
                name: name.to_owned(),
                generation,
                ciphertext,
                bound_hosts,
                expires_at,
                origin,
            },
        );
        match at {
            Some(i) => rows[i] = row,
            None => rows.push(row),
        }
        Ok(generation)
    }

    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        Ok(self
            .rows
            .lock()
            .unwrap()
            .iter()
            .filter(|(o, _)| o == owner)
            .map(|(_, r)| r.clone())
            .collect())
    }

    async fn drop_secret(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), StoreError> {
        self.rows.lock().unwrap().retain(|(o, r)| {
            !(o == owner && r.name == name && generation.is_none_or(|g| g == r.generation))
        });
        Ok(())
    }
}
