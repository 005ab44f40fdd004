//! Changes of one kind that several callers queue at the same time: the writer makes them together,
//! with as many statements as one of them needs.
//!
//! If they fail together, each is tried alone, so that a defect in one does not harm the others.

use std::sync::Arc;

use egression_core::domain::ids::JobSeq;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::engine::sqlite;
use crate::store::engine::store::Store;
use crate::store::engine::writer::{Change, Effects, WriteTx};

/// A kind of change that callers can share.
pub trait Joined: Send + 'static {
    type Value: Clone + Send + Sync;
    type Answer: Send;

    fn job(value: &Self::Value) -> JobSeq;

    fn write(
        tx: &mut WriteTx,
        values: Vec<Self::Value>,
    ) -> BoxFuture<'_, Result<Self::Answer, StoreError>>;

    /// Divides the answer to all callers among them. The jobs of each caller, in order.
    fn divide(answer: Self::Answer, callers: &[Vec<JobSeq>]) -> Vec<Self::Answer>;
}

struct Caller<J: Joined> {
    values: Vec<J::Value>,
    reply: oneshot::Sender<Result<J::Answer, StoreError>>,
}

/// The callers that wait for the writer's next transaction.
pub struct Callers<J: Joined>(Mutex<Vec<Caller<J>>>);

impl<J: Joined> Callers<J> {
    fn take(&self) -> Vec<Served<J>> {
        let waiting = std::mem::take(&mut *self.0.lock());
        waiting.into_iter().map(Served::new).collect()
    }
}

impl<J: Joined> Default for Callers<J> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<J: Joined> std::fmt::Debug for Callers<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Callers({} waiting)", self.0.lock().len())
    }
}

impl Store {
    /// Queues values for the writer's next transaction and waits for its commit.
    pub(in crate::store) async fn join<J: Joined>(
        &self,
        callers: &Arc<Callers<J>>,
        values: Vec<J::Value>,
    ) -> Result<J::Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = callers.0.lock();
            waiting.push(Caller { values, reply });
            waiting.len() == 1
        };
        if is_first {
            let change = JoinedChange {
                callers: Arc::clone(callers),
                taken: None,
            };
            // A change that is not queued drops its callers.
            drop(self.inner.first.send(Box::new(change)));
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// The change of all callers that wait when it runs.
struct JoinedChange<J: Joined> {
    callers: Arc<Callers<J>>,
    /// Its callers, once it ran.
    taken: Option<Vec<Served<J>>>,
}

struct Served<J: Joined> {
    caller: Caller<J>,
    answer: Result<J::Answer, StoreError>,
}

impl<J: Joined> Served<J> {
    const fn new(caller: Caller<J>) -> Self {
        Self {
            caller,
            answer: Err(StoreError::Closed),
        }
    }
}

async fn together<J: Joined>(tx: &mut WriteTx, all: &mut [Served<J>]) -> Result<(), StoreError> {
    let values = all
        .iter()
        .flat_map(|one| one.caller.values.iter().cloned())
        .collect();
    let answer = J::write(tx, values).await?;
    let jobs: Vec<Vec<JobSeq>> = all
        .iter()
        .map(|one| one.caller.values.iter().map(J::job).collect())
        .collect();
    for (one, part) in all.iter_mut().zip(J::divide(answer, &jobs)) {
        one.answer = Ok(part);
    }
    Ok(())
}

async fn one_by_one<J: Joined>(tx: &mut WriteTx, all: &mut [Served<J>]) -> Result<(), StoreError> {
    let mut effects = Effects::default();
    for one in all {
        sqlite::query("SAVEPOINT caller").execute(&mut tx.conn)?;
        tx.effects = Effects::default();
        one.answer = J::write(tx, one.caller.values.clone()).await;
        match &one.answer {
            Ok(_) => effects.absorb(std::mem::take(&mut tx.effects)),
            Err(error) if error.is_of_database() => return Err(error.clone()),
            Err(error) => {
                sqlite::query("ROLLBACK TO caller")
                    .execute(&mut tx.conn)
                    .map_err(|_| error.clone())?;
            }
        }
        sqlite::query("RELEASE caller").execute(&mut tx.conn)?;
    }
    tx.effects = effects;
    Ok(())
}

impl<J: Joined> Change for JoinedChange<J> {
    fn rows(&self) -> usize {
        self.callers
            .0
            .lock()
            .iter()
            .map(|caller| caller.values.len())
            .sum()
    }

    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let waiting = self.callers.take();
            let taken = self.taken.insert(waiting);
            match together(tx, taken).await {
                Err(error) if !error.is_of_database() && taken.len() > 1 => {
                    let callers = taken.len();
                    tracing::warn!(%error, callers, "changes failed together; trying each alone");
                    sqlite::query("ROLLBACK TO change")
                        .execute(&mut tx.conn)
                        .map_err(|_| error)?;
                    one_by_one(tx, taken).await
                }
                end => end,
            }
        })
    }

    fn answer(mut self: Box<Self>, end: Result<(), StoreError>) {
        // A group may end before this change ran.
        let taken = self.taken.take().unwrap_or_else(|| self.callers.take());
        self.taken = Some(Vec::new());
        for Served { caller, answer } in taken {
            // A dropped caller needs no answer.
            drop(caller.reply.send(end.clone().and(answer)));
        }
    }
}

impl<J: Joined> Drop for JoinedChange<J> {
    fn drop(&mut self) {
        if self.taken.is_none() {
            // Nobody else answers them: the writer is gone.
            drop(self.callers.take());
        }
    }
}
