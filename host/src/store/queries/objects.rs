//! The jobs of an object, as the API shows them.

use egression_core::domain::ids::{JobSeq, SubscriptionId};
use egression_core::domain::object::ObjectKey;

use crate::store::engine::predicates::has_ended;
use crate::store::engine::statement::Statement;
use crate::store::queries::executions::push_within;
use crate::store::queries::jobs::{JOB, job};
use crate::store::rows::JobRow;
use crate::store::{Store, StoreError};

impl Store {
    /// Every kept job of an object, newest first, before `before`.
    pub async fn object_jobs(
        &self,
        subscription: Option<SubscriptionId>,
        object: &ObjectKey,
        before: Option<JobSeq>,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        let object = object.clone();
        let now = self.inner.clock.wall();
        self.read(move |conn| {
            Box::pin(async move {
                let mut found = Vec::new();
                // The index separates an object's unfinished jobs from its history.
                for ended in [false, true] {
                    let mut select = Statement::new(JOB);
                    select
                        .push("j.object_hash = ")
                        .push_bind(object.hash().0)
                        .push(concat!(" AND ", has_ended!("j."), " = "))
                        .push_bind(ended);
                    select
                        .push(" AND j.id < ")
                        .push_bind(before.map_or(i64::MAX, |before| before.0));
                    select
                        .push(" AND j.object_type = ")
                        .push_bind(object.object_type.as_str());
                    select
                        .push(" AND j.object_id = ")
                        .push_bind(object.id.as_str())
                        .push(" AND x.seal IS NOT NULL");
                    // An expired execution may be removed in part.
                    select
                        .push(" AND (x.expires_at IS NULL OR x.expires_at > ")
                        .push_bind(now.0)
                        .push(")");
                    push_within(&mut select, subscription);
                    select.push(" ORDER BY j.id DESC LIMIT ").push_bind(limit);
                    for row in select.build().fetch_all(&mut *conn)? {
                        found.push(job(&row)?);
                    }
                }
                found.sort_unstable_by_key(|job| std::cmp::Reverse(job.seq));
                found.truncate(limit as usize);
                Ok(found)
            })
        })
        .await
    }
}
