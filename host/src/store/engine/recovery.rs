//! Recovery at the start: numbers continue after the largest one used, unsealed executions are
//! removed, pending notifications are delivered, and interrupted cancels continue.

use std::sync::atomic::Ordering;

use egression_core::domain::ids::ExecutionSeq;
use egression_core::time::Wall;

use crate::store::engine::predicates::{holds_key, waits_for_object};
use crate::store::engine::sqlite::{self, Connection};
use crate::store::rows::Changes;
use crate::store::{Store, StoreError};

/// The largest number of an execution or a seal. The seals of ended jobs no longer order anything.
pub async fn last_number(conn: &mut Connection) -> Result<i64, StoreError> {
    let executions: i64 = sqlite::query(
        "SELECT coalesce(max(n), 0) FROM (SELECT max(seq) AS n FROM execution UNION ALL SELECT \
         max(seal) FROM execution) AS most",
    )
    .scalar(&mut *conn)?;
    let jobs: Option<i64> = sqlite::query(concat!(
        "SELECT max(seal) FROM job WHERE seal > 0 AND ",
        holds_key!("")
    ))
    .scalar(&mut *conn)?;
    let waiting: Option<i64> = sqlite::query(concat!(
        "SELECT max(seal) FROM job WHERE ",
        waits_for_object!("")
    ))
    .scalar(conn)?;
    Ok(executions.max(jobs.unwrap_or(0)).max(waiting.unwrap_or(0)))
}

impl Store {
    pub(in crate::store) async fn recover(&self) -> Result<(), StoreError> {
        let (open, pending_notifications): (i64, i64) = self
            .read(|conn| {
                Box::pin(async move {
                    let sum = "SELECT coalesce(sum(p.waiting + p.in_flight + p.accepted), 0) FROM \
                        progress p JOIN execution x ON x.seq = p.execution_seq WHERE \
                        x.completed_at IS NULL";
                    let open = sqlite::query(sum).scalar(&mut *conn)?;
                    Ok((
                        open,
                        sqlite::query("SELECT count(*) FROM pending_notification").scalar(conn)?,
                    ))
                })
            })
            .await?;
        self.inner.published.backlog.store(open, Ordering::Relaxed);
        self.inner
            .published
            .pending_notifications
            .store(pending_notifications, Ordering::Relaxed);
        self.abandon_begun_before(Wall(i64::MAX)).await?;
        // Nobody listens yet: the scheduler will read the ready jobs.
        self.notify_rest(Changes::default()).await;
        let now = self.inner.clock.wall();
        for execution in self
            .executions_where("completed_at IS NULL AND cancel_requested_at IS NOT NULL")
            .await?
        {
            self.cancel_execution(execution, now).await.1?;
        }
        Ok(())
    }

    /// Removes executions that began before this time and were never sealed: the rest of requests
    /// that broke off while the store could not write.
    pub async fn abandon_begun_before(&self, before: Wall) -> Result<(), StoreError> {
        let begun: Vec<i64> = self
            .read(move |conn| {
                Box::pin(async move {
                    let select = "SELECT seq FROM execution WHERE seal IS NULL AND completed_at \
                        IS NULL AND created_at < ?1 ORDER BY seq";
                    sqlite::query(select).bind(before.0).scalars(conn)
                })
            })
            .await?;
        for execution in begun {
            self.abandon(ExecutionSeq(execution)).await?;
        }
        Ok(())
    }

    async fn executions_where(
        &self,
        condition: &'static str,
    ) -> Result<Vec<ExecutionSeq>, StoreError> {
        self.read_statement(move |conn| {
            Box::pin(async move {
                let mut select = crate::store::engine::statement::Statement::new(
                    "SELECT seq FROM execution WHERE ",
                );
                select.push(condition).push(" ORDER BY seq");
                let found: Vec<i64> = select.build().scalars(conn)?;
                Ok(found.into_iter().map(ExecutionSeq).collect())
            })
        })
        .await
    }
}
