//! The order in a key over belts and executions, and its head.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{SHOP, World, execution, job, key, keyed, object, waits, waits_for};
use crate::store::rows::{ExecutionFilter, LaneKey, StagedItem, StagedJob};

async fn ahead(world: &World, job: JobSeq) -> u32 {
    world.store.queue_positions(&[job], 1000).await.unwrap()[&job]
}

#[tokio::test]
async fn order_follows_the_seal_not_the_begin() {
    let world = World::new().await;
    let slow = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(slow, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    let quick = world.submit(vec![job(0, "a")]).await.execution;
    assert_eq!(
        world.heads(quick, 1).await,
        [quick.job(0)],
        "an unsealed job holds nothing"
    );
    world.store.seal(slow, None).await.unwrap();
    let page = world.lane(slow, 1).await;
    assert!(page.heads.is_empty());
    assert_eq!(page.held, [key("product:a").1]);
    assert_eq!(ahead(&world, slow.job(0)).await, 1);
    assert_eq!(ahead(&world, quick.job(0)).await, 0);

    world.deliver(quick.job(0), JobState::Succeeded).await;
    let heads = world
        .store
        .heads_of_keys(&[key("product:a")], world.now())
        .await
        .unwrap();
    assert_eq!(
        heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [slow.job(0)]
    );
    assert_eq!(
        world
            .store
            .heads(&[slow.job(0), quick.job(0)])
            .await
            .unwrap(),
        heads
    );
}

#[tokio::test]
async fn execution_sealed_later_waits_for_three_others() {
    let world = World::new().await;
    let first = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(
            first,
            (0..3)
                .map(|i| StagedItem::Job(keyed(i, &format!("f{i}"), "k")))
                .collect(),
        )
        .await
        .unwrap();
    let mut expected = Vec::new();
    for i in 0..3 {
        expected.push(
            world
                .submit(vec![keyed(0, &format!("q{i}"), "k")])
                .await
                .execution
                .job(0),
        );
    }
    world.store.seal(first, None).await.unwrap();
    let last = world
        .submit(vec![keyed(0, "last", "k")])
        .await
        .execution
        .job(0);
    expected.extend([first.job(0), first.job(1), first.job(2), last]);
    for (place, job) in expected.iter().enumerate() {
        let heads = world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap();
        assert_eq!(
            heads.iter().map(|head| head.job).collect::<Vec<_>>(),
            [*job],
            "place {place}"
        );
        assert_eq!(
            ahead(&world, *expected.last().unwrap()).await as usize,
            expected.len() - 1 - place
        );
        world.deliver(*job, JobState::Succeeded).await;
    }
    assert!(
        world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn belts_come_before_job_numbers_in_an_execution() {
    let world = World::new().await;
    let late = StagedJob {
        belt: 2,
        ..keyed(0, "offer", "k")
    };
    let early = keyed(1, "category", "k");
    let seq = world.submit(vec![late, early]).await.execution;
    assert_eq!(world.heads(seq, 1).await, [seq.job(1)]);
    assert!(world.heads(seq, 2).await.is_empty());
    world.deliver(seq.job(1), JobState::Rejected).await;
    assert_eq!(world.heads(seq, 2).await, [seq.job(0)]);
}

#[tokio::test]
async fn lane_is_read_in_pages_and_by_priority() {
    let world = World::new().await;
    let urgent = StagedJob {
        priority: 5,
        ..job(10, "urgent")
    };
    let mut jobs: Vec<_> = (0..10).map(|i| job(i, &format!("p{i}"))).collect();
    jobs.push(urgent);
    let sealed = world.submit(jobs).await;
    let execution = sealed.execution;
    let lane = LaneKey {
        connection: SHOP,
        execution,
        belt: 1,
        priority: 0,
    };
    let first = world.store.lane_page(lane, None, 4).await.unwrap();
    assert_eq!(
        first
            .heads
            .iter()
            .map(|head| head.job.index())
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    let second = world.store.lane_page(lane, first.next, 100).await.unwrap();
    assert_eq!((second.heads.len(), second.next), (6, None));
    let urgent = world
        .store
        .lane_page(
            LaneKey {
                priority: 5,
                ..lane
            },
            None,
            100,
        )
        .await
        .unwrap();
    assert_eq!(
        urgent
            .heads
            .iter()
            .map(|head| (head.job.index(), head.priority))
            .collect::<Vec<_>>(),
        [(10, 5)]
    );
    assert_eq!(urgent.heads[0].seal, sealed.seal);
}

#[tokio::test]
async fn retry_holds_its_key_in_flight_and_waiting() {
    let world = World::new().await;
    let seq = world
        .submit(vec![keyed(0, "a", "k"), keyed(1, "b", "k")])
        .await
        .execution;
    world.send(1, &[seq.job(0)]).await;
    assert!(
        world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap()
            .is_empty()
    );
    let due = Wall(world.now().0 + 60_000);
    world
        .settle(vec![waits(
            seq.job(0),
            Some(1),
            Some(WaitingKind::Retry),
            Some(due),
        )])
        .await;
    assert!(
        world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(world.heads(seq, 1).await.is_empty());
    let heads = world.store.heads_of_keys(&[key("k")], due).await.unwrap();
    assert_eq!(
        heads
            .iter()
            .map(|head| (head.job, head.attempts))
            .collect::<Vec<_>>(),
        [(seq.job(0), 1)]
    );
    assert_eq!(
        world.send(2, &[seq.job(0)]).await,
        [seq.job(0)],
        "a retry may be cut short"
    );
}

#[tokio::test]
async fn queue_position_is_counted_for_many_jobs_up_to_a_bound() {
    let world = World::new().await;
    let seq = world
        .submit((0..6).map(|i| keyed(i, &format!("o{i}"), "k")).collect())
        .await
        .execution;
    let jobs: Vec<_> = (0..6).map(|i| seq.job(i)).collect();
    let counts = world.store.queue_positions(&jobs, 4).await.unwrap();
    assert_eq!(
        jobs.iter().map(|job| counts[job]).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 4]
    );
    // A job that waits for an object lets other objects of its key pass, but not its own.
    let later = world
        .submit(vec![keyed(0, "o0", "k")])
        .await
        .execution
        .job(0);
    world
        .settle(vec![waits_for(
            jobs[0],
            None,
            &[("parent", None)],
            Wall(i64::MAX),
        )])
        .await;
    let counts = world
        .store
        .queue_positions(&[jobs[1], later], 1000)
        .await
        .unwrap();
    assert_eq!((counts[&jobs[1]], counts[&later]), (0, 6));
    for job in &jobs[1..] {
        world.deliver(*job, JobState::Succeeded).await;
    }
    assert_eq!(ahead(&world, later).await, 1);
    let awaited = world.store.awaited(&jobs).await.unwrap();
    assert_eq!(
        awaited.into_iter().collect::<Vec<_>>(),
        [(jobs[0], object("parent"))]
    );
}

#[tokio::test]
async fn queue_position_counts_earlier_seals_and_belts() {
    let world = World::new().await;
    let received = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(
            received,
            (0..3)
                .map(|i| StagedItem::Job(keyed(i, &format!("r{i}"), "k")))
                .collect(),
        )
        .await
        .unwrap();
    let due = world.now().plus_ms(60_000);
    let scheduled = StagedJob {
        scheduled_at: Some(due),
        ..keyed(0, "later", "k")
    };
    let belts = |index, belt| StagedJob {
        belt,
        ..keyed(index, &format!("b{index}"), "k")
    };
    let first = world
        .submit(vec![scheduled, belts(1, 2), belts(2, 1), belts(3, 2)])
        .await
        .execution;
    let second = world
        .submit(vec![keyed(0, "s", "k")])
        .await
        .execution
        .job(0);
    let counts = |jobs: Vec<JobSeq>| {
        let store = world.store.clone();
        async move {
            let counts = store.queue_positions(&jobs, 1000).await.unwrap();
            jobs.iter().map(|job| counts[job]).collect::<Vec<_>>()
        }
    };
    assert_eq!(
        counts(vec![first.job(1), first.job(2), first.job(3), second]).await,
        [1, 0, 2, 3],
        "an unsealed job holds nothing"
    );
    world.store.seal(received, None).await.unwrap();
    world.store.open_belt(first, SHOP, 2).await.unwrap();
    for index in 1..4 {
        world.deliver(first.job(index), JobState::Succeeded).await;
    }
    world.store.fall_due(due, 10).await.unwrap();
    // The scheduled job got its place behind all the others.
    let last = world
        .submit(vec![keyed(0, "last", "k")])
        .await
        .execution
        .job(0);
    assert_eq!(
        counts(vec![second, received.job(2), first.job(0), last]).await,
        [0, 3, 4, 5]
    );
}

#[tokio::test]
async fn wait_ends_show_the_earliest_of_each_kind() {
    let world = World::new().await;
    let due = |index, at| StagedJob {
        scheduled_at: Some(Wall(i64::MAX - at)),
        ..job(index, &format!("s{index}"))
    };
    let other = StagedJob {
        belt: 2,
        ..due(3, 9)
    };
    let seq = world
        .submit(vec![due(0, 1), due(1, 2), job(2, "r"), other])
        .await
        .execution;
    world
        .settle(vec![waits(
            seq.job(2),
            None,
            Some(WaitingKind::Retry),
            Some(Wall(7_000)),
        )])
        .await;
    for status in [
        world.store.execution(seq).await.unwrap().unwrap(),
        world
            .store
            .executions(&ExecutionFilter::default(), 1)
            .await
            .unwrap()
            .remove(0),
    ] {
        let [first, second] = [0, 1].map(|belt| status.progress[belt]);
        assert_eq!(
            status.first_end(&first, WaitingKind::Schedule),
            Some(Wall(i64::MAX - 2))
        );
        assert_eq!(
            status.first_end(&first, WaitingKind::Retry),
            Some(Wall(7_000))
        );
        assert_eq!(
            status.first_end(&second, WaitingKind::Schedule),
            Some(Wall(i64::MAX - 9))
        );
        assert_eq!(status.first_end(&second, WaitingKind::Retry), None);
    }
}
