//! The order in a key over belts and executions, and its head.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::fixtures::{in_belt, job, jobs, key, keyed, numbers, object, retries, scheduled, waits};
use super::{SHOP, World};
use crate::store::rows::{ExecutionFilter, HeadRow, LaneKey, StagedJob};

impl World {
    async fn queue_positions(&self, jobs: &[JobSeq], most: u32) -> Vec<u32> {
        let counts = self.store.queue_positions(jobs, most).await.unwrap();
        jobs.iter().map(|job| counts[job]).collect()
    }
}

/// Jobs of one key, of the products `{prefix}0`, `{prefix}1` and so on.
fn keyed_jobs(count: u32, prefix: &str) -> Vec<StagedJob> {
    let numbered = |index| keyed(index, &format!("{prefix}{index}"), "k");
    (0..count).map(numbered).collect()
}

#[tokio::test]
async fn order_follows_the_seal_not_the_begin() {
    let world = World::new().await;
    let slow = world.receive([job(0, "a")]).await;
    let quick = world.submit([job(0, "a")]).await;
    assert_eq!(
        world.heads(quick, 1).await,
        [quick.job(0)],
        "an unsealed job holds nothing"
    );
    world.seal(slow).await;
    let page = world.lane(slow, 1).await;
    assert!(page.heads.is_empty());
    assert_eq!(page.held, [key("product:a").1]);
    let both = [slow.job(0), quick.job(0)];
    assert_eq!(world.queue_positions(&both, 1000).await, [1, 0]);

    world.succeed(quick.job(0)).await;
    assert_eq!(world.heads_of_key("product:a").await, [slow.job(0)]);
    assert_eq!(world.heads_among(&both).await, [slow.job(0)]);
}

#[tokio::test]
async fn execution_sealed_later_waits_for_three_others() {
    let world = World::new().await;
    let first = world.receive(keyed_jobs(3, "f")).await;
    let mut expected = Vec::new();
    for product in ["q0", "q1", "q2"] {
        expected.push(world.submit_keyed(product, "k").await);
    }
    world.seal(first).await;
    let last = world.submit_keyed("last", "k").await;
    expected.extend([first.job(0), first.job(1), first.job(2), last]);
    for (place, job) in (0..).zip(&expected) {
        assert_eq!(world.heads_of_key("k").await, [*job], "place {place}");
        assert_eq!(world.queue_positions(&[last], 1000).await, [6 - place]);
        world.succeed(*job).await;
    }
    assert_eq!(world.heads_of_key("k").await, []);
}

#[tokio::test]
async fn belts_come_before_job_numbers_in_an_execution() {
    let world = World::new().await;
    let late = in_belt(2, keyed(0, "offer", "k"));
    let early = keyed(1, "category", "k");
    let seq = world.submit([late, early]).await;
    assert_eq!(world.heads(seq, 1).await, [seq.job(1)]);
    assert_eq!(world.heads(seq, 2).await, []);
    world.reject(seq.job(1)).await;
    assert_eq!(world.heads(seq, 2).await, [seq.job(0)]);
}

#[tokio::test]
async fn lane_is_read_in_pages_and_by_priority() {
    let world = World::new().await;
    let urgent = StagedJob {
        priority: 5,
        ..job(10, "urgent")
    };
    let execution = world
        .submit(jobs(10, "p").into_iter().chain([urgent]))
        .await;
    let lane = LaneKey {
        connection: SHOP,
        execution,
        belt: 1,
        priority: 0,
    };
    let shown = |heads: &[HeadRow]| {
        let shown = heads.iter().map(|head| (head.job.index(), head.priority));
        shown.collect::<Vec<_>>()
    };
    let first = world.store.lane_page(lane, None, 4).await.unwrap();
    assert_eq!(shown(&first.heads), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    let second = world.store.lane_page(lane, first.next, 100).await.unwrap();
    assert_eq!((second.heads.len(), second.next), (6, None));
    let lane = LaneKey {
        priority: 5,
        ..lane
    };
    let urgent = world.store.lane_page(lane, None, 100).await.unwrap();
    assert_eq!(shown(&urgent.heads), [(10, 5)]);
    let seal = world.status(execution).await.row.seal;
    assert_eq!(Some(urgent.heads[0].seal), seal);
}

#[tokio::test]
async fn retry_holds_its_key_in_flight_and_waiting() {
    let world = World::new().await;
    let seq = world.submit(keyed_jobs(2, "p")).await;
    let head = seq.job(0);
    world.send(1, &[head]).await;
    assert_eq!(world.heads_of_key("k").await, []);
    let due = world.now().plus_ms(60_000);
    world.settle(vec![retries(head, 1, due)]).await;
    assert_eq!(world.heads_of_key("k").await, []);
    assert_eq!(world.heads(seq, 1).await, []);
    let heads = world.store.heads_of_keys(&[key("k")], due).await.unwrap();
    assert_eq!((numbers(&heads), heads[0].attempts), (vec![head], 1));
    assert_eq!(
        world.send(2, &[head]).await,
        [head],
        "a retry may be cut short"
    );
}

#[tokio::test]
async fn queue_position_is_counted_for_many_jobs_up_to_a_bound() {
    let world = World::new().await;
    let seq = world.submit(keyed_jobs(6, "o")).await;
    let jobs: Vec<_> = (0..6).map(|i| seq.job(i)).collect();
    assert_eq!(world.queue_positions(&jobs, 4).await, [0, 1, 2, 3, 4, 4]);
    // A job that waits for an object lets other objects of its key pass, but not its own.
    let later = world.submit_keyed("o0", "k").await;
    world.wait_for(jobs[0], &[("parent", None)]).await;
    assert_eq!(world.queue_positions(&[jobs[1], later], 1000).await, [0, 6]);
    for job in &jobs[1..] {
        world.succeed(*job).await;
    }
    assert_eq!(world.queue_positions(&[later], 1000).await, [1]);
    let awaited = world.store.awaited(&jobs).await.unwrap();
    assert_eq!(awaited, [(jobs[0], object("parent"))].into());
}

#[tokio::test]
async fn queue_position_counts_earlier_seals_and_belts() {
    let world = World::new().await;
    let received = world.receive(keyed_jobs(3, "r")).await;
    let due = world.now().plus_ms(60_000);
    let first = world
        .submit([
            scheduled(due, keyed(0, "later", "k")),
            in_belt(2, keyed(1, "b1", "k")),
            keyed(2, "b2", "k"),
            in_belt(2, keyed(3, "b3", "k")),
        ])
        .await;
    let second = world.submit_keyed("s", "k").await;
    let jobs = [first.job(1), first.job(2), first.job(3), second];
    assert_eq!(
        world.queue_positions(&jobs, 1000).await,
        [1, 0, 2, 3],
        "an unsealed job holds nothing"
    );
    world.seal(received).await;
    world.store.open_belt(first, SHOP, 2).await.unwrap();
    for index in 1..4 {
        world.succeed(first.job(index)).await;
    }
    world.fall_due(due, 10).await;
    // The scheduled job got its place behind all the others.
    let last = world.submit_keyed("last", "k").await;
    let jobs = [second, received.job(2), first.job(0), last];
    assert_eq!(world.queue_positions(&jobs, 1000).await, [0, 3, 4, 5]);
}

#[tokio::test]
async fn wait_ends_show_the_earliest_of_each_kind() {
    let world = World::new().await;
    let due = |index, at| scheduled(Wall(i64::MAX - at), job(index, &format!("s{index}")));
    let jobs = [due(0, 1), due(1, 2), job(2, "r"), in_belt(2, due(3, 9))];
    let seq = world.submit(jobs).await;
    let retry = Some(WaitingKind::Retry);
    world
        .settle(vec![waits(seq.job(2), None, retry, Some(Wall(7_000)))])
        .await;
    let listed = world.store.executions(&ExecutionFilter::default(), 1).await;
    for status in [world.status(seq).await, listed.unwrap().remove(0)] {
        for (belt, kind, end) in [
            (0, WaitingKind::Schedule, Some(Wall(i64::MAX - 2))),
            (0, WaitingKind::Retry, Some(Wall(7_000))),
            (1, WaitingKind::Schedule, Some(Wall(i64::MAX - 9))),
            (1, WaitingKind::Retry, None),
        ] {
            assert_eq!(status.first_end(&status.progress[belt], kind), end);
        }
    }
}
