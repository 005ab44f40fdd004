//! Random sequences of everything that can happen to jobs: the counters add up after each step, the
//! heads agree with a slow search of all jobs, and every job ends.

use std::collections::BTreeMap;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::fixtures::{
    ended, execution, intent, key, keyed, numbers, object, refused, repeats, through, unknown,
    waits, waits_for,
};
use super::{SHOP, World};
use crate::store::engine::sqlite;
use crate::store::rows::{Changes, Settlement, StagedItem, StagedJob};

const STEPS: usize = 250;

struct Run {
    world: World,
    rng: StdRng,
    now: Wall,
    call: i64,
    receiving: Vec<(ExecutionSeq, u32)>,
    flying: Vec<(JobSeq, i64)>,
    orphans: Vec<JobSeq>,
}

#[tokio::test]
async fn counters_add_up_whatever_happens() {
    let seed = std::env::var("EGRESSION_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1);
    println!("EGRESSION_TEST_SEED={seed}");
    let world = World::new().await;
    let now = world.now();
    let mut run = Run {
        world,
        rng: StdRng::seed_from_u64(seed),
        now,
        call: 0,
        receiving: vec![],
        flying: vec![],
        orphans: vec![],
    };
    for _ in 0..STEPS {
        run.step().await;
        run.world.check().await;
        run.compare_heads().await;
    }
    run.finish().await;
}

fn keys() -> [(ConnectionId, KeyHash); 4] {
    ["k0", "k1", "k2", "k3"].map(key)
}

impl Run {
    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..14 => self.submit().await,
            14..24 => self.receive().await,
            24..52 => self.send().await,
            52..80 => self.settle().await,
            80..90 => self.pass_time().await,
            90..93 => self.cancel().await,
            93..96 => self.mark().await,
            96..98 => self.restart().await,
            _ => self.abandon().await,
        }
    }

    fn item(&mut self, index: u32) -> StagedItem {
        if self.rng.random_ratio(1, 12) {
            return refused(index, "bad");
        }
        let name = format!("p{}", self.rng.random_range(0..8));
        let key = format!("k{}", self.rng.random_range(0..4));
        let scheduled_at = self.rng.random_ratio(1, 5).then(|| self.later(600_000));
        let expires_at = self.rng.random_ratio(1, 10).then(|| self.later(900_000));
        StagedItem::Job(StagedJob {
            belt: self.rng.random_range(1..4),
            scheduled_at,
            expires_at,
            ..keyed(index, &name, &key)
        })
    }

    /// A time after at least a minute.
    fn later(&mut self, most_ms: i64) -> Wall {
        self.now.plus_ms(self.rng.random_range(60_000..most_ms))
    }

    async fn submit(&mut self) {
        let count = self.rng.random_range(0..5);
        let items = (0..count).map(|index| self.item(index)).collect();
        self.world.submit_items(items, None).await.unwrap();
    }

    async fn receive(&mut self) {
        if self.receiving.len() < 2 {
            let begun = self.world.store.begin_execution(execution()).await;
            self.receiving.push((begun.unwrap(), 0));
            return;
        }
        let at = self.rng.random_range(0..self.receiving.len());
        let (seq, next) = self.receiving[at];
        if self.rng.random_ratio(1, 3) {
            self.receiving.remove(at);
            self.world.seal(seq).await;
            return;
        }
        let items = (next..next + 3).map(|index| self.item(index)).collect();
        self.world.stage(seq, items).await;
        self.receiving[at].1 = next + 3;
    }

    async fn abandon(&mut self) {
        if let Some((seq, _)) = self.receiving.pop() {
            self.world.store.abandon(seq).await.unwrap();
        }
    }

    async fn send(&mut self) {
        let heads = self.world.store.heads_of_keys(&keys(), self.now).await;
        let heads = numbers(&heads.unwrap());
        self.call += 1;
        let intents = heads.iter().map(|job| intent(*job, self.call)).collect();
        let opened = self.world.store.open_intent(intents).await.unwrap();
        assert_eq!(opened, heads, "a head may be sent");
        self.flying
            .extend(opened.into_iter().map(|job| (job, self.call)));
    }

    async fn settle(&mut self) {
        let mut settlements = Vec::new();
        for (job, call) in std::mem::take(&mut self.flying) {
            if self.rng.random_ratio(1, 4) {
                self.flying.push((job, call));
            } else {
                settlements.push(self.outcome(job, call));
            }
        }
        for job in std::mem::take(&mut self.orphans) {
            settlements.push(if self.rng.random_ratio(1, 2) {
                ended(job, None, JobState::Failed)
            } else {
                waits(job, None, None, None)
            });
        }
        let changes = self.world.store.settle(settlements).await.unwrap();
        self.note(changes);
    }

    fn outcome(&mut self, job: JobSeq, call: i64) -> Settlement {
        let until = Some(self.now.plus_ms(self.rng.random_range(0..300_000)));
        let sent = Some(call);
        match self.rng.random_range(0..12) {
            0..4 => ended(job, sent, JobState::Succeeded),
            4 => ended(job, sent, JobState::Rejected),
            5 => ended(job, sent, JobState::Failed),
            6 if self.rng.random_ratio(1, 4) => unknown(job, call),
            6 => ended(job, sent, JobState::Superseded),
            7 => waits(job, sent, None, None),
            8 => {
                let retry = Some(WaitingKind::Retry);
                repeats(job, sent, retry, until, self.rng.random())
            }
            9 => waits(job, sent, Some(WaitingKind::Source), until),
            _ => {
                let parents: Vec<_> = (0..self.rng.random_range(1..3))
                    .map(|_| format!("p{}", self.rng.random_range(0..8)))
                    .collect();
                let parents: Vec<_> = parents.iter().map(|id| (id.as_str(), None)).collect();
                waits_for(job, sent, &parents, self.now.plus_ms(120_000))
            }
        }
    }

    fn note(&mut self, changes: Changes) {
        assert!(
            self.flying
                .iter()
                .all(|(job, _)| !changes.stale.contains(job))
        );
        for job in changes.orphaned {
            if !self.orphans.contains(&job) {
                self.orphans.push(job);
            }
        }
    }

    async fn pass_time(&mut self) {
        self.now = self.now.plus_ms(self.rng.random_range(0..120_000));
        let limit = self.rng.random_range(1..6);
        let (_, changes) = self.world.store.fall_due(self.now, limit).await.unwrap();
        self.note(changes);
        let changes = self.world.store.expire(self.now, limit).await.unwrap();
        self.note(changes);
    }

    async fn cancel(&mut self) {
        let open = self.world.store.open_executions().await.unwrap();
        if open.is_empty() {
            return;
        }
        let seq = open[self.rng.random_range(0..open.len())].seq;
        let changes = if self.rng.random() {
            through(self.world.store.cancel_execution(seq, self.now).await)
        } else {
            through(self.world.store.abort_belts(seq, SHOP, 2, self.now).await)
        };
        self.note(changes);
    }

    async fn mark(&mut self) {
        let mut blocked = Vec::new();
        for open in self.world.store.open_executions().await.unwrap() {
            for row in &open.progress {
                let page = self.world.lane(open.seq, row.belt.belt).await;
                blocked.extend(page.blocked);
            }
        }
        self.world.store.mark_blocked(&blocked).await.unwrap();
    }

    async fn restart(&mut self) {
        self.world.restart().await;
        self.receiving.clear();
        let open = self.world.store.open_intents().await.unwrap();
        let open: Vec<_> = open
            .into_iter()
            .map(|intent| (intent.job, intent.call))
            .collect();
        self.flying.sort_unstable();
        assert_eq!(open, self.flying, "in flight at the kill = open intents");
    }

    /// The heads by definition, from all jobs.
    async fn compare_heads(&self) {
        let found = self.world.store.read(move |conn| {
            Box::pin(async move { crate::store::order::heads::of_keys(conn, &keys()).await })
        });
        let found: BTreeMap<_, _> = found
            .await
            .unwrap()
            .into_iter()
            .map(|((_, key), head)| (key, head.row.job))
            .collect();
        let all = "SELECT j.key_hash, CASE j.seal WHEN 0 THEN x.seal ELSE j.seal END AS place, \
            j.belt, j.id, j.waiting, j.object_hash FROM job j JOIN execution x ON x.seq = j.id >> \
            24 WHERE x.seal IS NOT NULL AND j.state <= 2 ORDER BY 2, 3, 4";
        let rows = self
            .world
            .store
            .read(move |conn| Box::pin(async move { sqlite::query(all).fetch_all(conn) }));
        let (mut expected, mut parked) = (BTreeMap::new(), Vec::new());
        for row in rows.await.unwrap() {
            let (key, job, object) = (KeyHash(row.get(0)), JobSeq(row.get(3)), row.get::<i64>(5));
            match row.get::<Option<i64>>(4) {
                Some(1 | 14) => {}
                Some(5) => parked.push((key, object)),
                _ if parked.contains(&(key, object)) => {}
                _ => {
                    expected.entry(key).or_insert(job);
                }
            }
        }
        assert_eq!(found, expected);
    }

    /// No job is lost: each remaining one can end.
    async fn finish(&mut self) {
        for (seq, _) in std::mem::take(&mut self.receiving) {
            self.world.seal(seq).await;
        }
        let settlements = std::mem::take(&mut self.flying)
            .into_iter()
            .map(|(job, call)| ended(job, Some(call), JobState::Succeeded))
            .collect();
        self.world.store.settle(settlements).await.unwrap();
        for open in self.world.store.open_executions().await.unwrap() {
            through(self.world.store.cancel_execution(open.seq, self.now).await);
        }
        // A job that is repeated because it may have arrived ends only with its connection.
        through(self.world.store.cancel_connection(SHOP, self.now).await);
        self.world.check().await;
        assert!(self.world.store.open_executions().await.unwrap().is_empty());
        assert_eq!(self.world.store.backlog(), 0);
        let parents = [(ExecutionSeq(1).job(0), object("p1"))];
        assert_eq!(self.world.unfinished_parents(&parents).await, [None]);
    }
}
