//! The order in a key, over belts and executions, and who is its head.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::super::rows::{LaneKey, StagedItem, StagedJob};
use super::{SHOP, World, execution, job, key, keyed, waits};

#[tokio::test]
async fn order_follows_the_seal_not_the_begin() {
    let world = World::new().await;
    let slow = world.store.begin_execution(execution()).await.unwrap();
    world.store.stage(slow, vec![StagedItem::Job(job(0, "a"))]).await.unwrap();
    let quick = world.submit(vec![job(0, "a")]).await.execution;
    assert_eq!(world.heads(quick, 1).await, [quick.job(0)], "what is being received holds nothing");
    world.store.seal(slow, None).await.unwrap();
    let page = world.lane(slow, 1).await;
    assert!(page.heads.is_empty());
    assert_eq!(page.held, [key("product:a").1]);
    assert_eq!(world.store.ahead(slow.job(0)).await.unwrap(), 1);
    assert_eq!(world.store.ahead(quick.job(0)).await.unwrap(), 0);

    world.deliver(quick.job(0), JobState::Succeeded).await;
    let heads = world.store.heads_of_keys(&[key("product:a")], world.now()).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.job).collect::<Vec<_>>(), [slow.job(0)]);
    assert_eq!(world.store.heads(&[slow.job(0), quick.job(0)]).await.unwrap(), heads);
}

#[tokio::test]
async fn an_earlier_execution_sealed_later_waits_for_three_others() {
    let world = World::new().await;
    let first = world.store.begin_execution(execution()).await.unwrap();
    world.store.stage(first, (0..3).map(|i| StagedItem::Job(keyed(i, &format!("f{i}"), "k"))).collect()).await.unwrap();
    let mut expected = Vec::new();
    for i in 0..3 {
        expected.push(world.submit(vec![keyed(0, &format!("q{i}"), "k")]).await.execution.job(0));
    }
    world.store.seal(first, None).await.unwrap();
    let last = world.submit(vec![keyed(0, "last", "k")]).await.execution.job(0);
    expected.extend([first.job(0), first.job(1), first.job(2), last]);
    for (place, job) in expected.iter().enumerate() {
        let heads = world.store.heads_of_keys(&[key("k")], world.now()).await.unwrap();
        assert_eq!(heads.iter().map(|head| head.job).collect::<Vec<_>>(), [*job], "place {place}");
        assert_eq!(world.store.ahead(*expected.last().unwrap()).await.unwrap() as usize, expected.len() - 1 - place);
        world.deliver(*job, JobState::Succeeded).await;
    }
    assert!(world.store.heads_of_keys(&[key("k")], world.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn inside_an_execution_belts_come_before_numbers() {
    let world = World::new().await;
    let late = StagedJob { belt: 2, ..keyed(0, "offer", "k") };
    let early = keyed(1, "category", "k");
    let seq = world.submit(vec![late, early]).await.execution;
    assert_eq!(world.heads(seq, 1).await, [seq.job(1)]);
    assert!(world.heads(seq, 2).await.is_empty());
    world.deliver(seq.job(1), JobState::Rejected).await;
    assert_eq!(world.heads(seq, 2).await, [seq.job(0)]);
}

#[tokio::test]
async fn a_lane_is_read_in_pages_and_by_priority() {
    let world = World::new().await;
    let urgent = StagedJob { priority: 5, ..job(10, "urgent") };
    let mut jobs: Vec<_> = (0..10).map(|i| job(i, &format!("p{i}"))).collect();
    jobs.push(urgent);
    let execution = world.submit(jobs).await.execution;
    let lane = LaneKey { connection: SHOP, execution, belt: 1, priority: 0 };
    let first = world.store.lane_page(lane, None, 4).await.unwrap();
    assert_eq!(first.heads.iter().map(|head| head.job.index()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let second = world.store.lane_page(lane, first.next, 100).await.unwrap();
    assert_eq!((second.heads.len(), second.next), (6, None));
    let urgent = world.store.lane_page(LaneKey { priority: 5, ..lane }, None, 100).await.unwrap();
    assert_eq!(urgent.heads.iter().map(|head| (head.job.index(), head.priority)).collect::<Vec<_>>(), [(10, 5)]);
    assert_eq!(urgent.heads[0].seal, world.store.open_execution(execution).await.unwrap().unwrap().seal);
}

#[tokio::test]
async fn a_retry_in_flight_or_waiting_holds_its_key() {
    let world = World::new().await;
    let seq = world.submit(vec![keyed(0, "a", "k"), keyed(1, "b", "k")]).await.execution;
    world.send(1, &[seq.job(0)]).await;
    assert!(world.store.heads_of_keys(&[key("k")], world.now()).await.unwrap().is_empty());
    let due = Wall(world.now().0 + 60_000);
    world.settle(vec![waits(seq.job(0), Some(1), Some(WaitingKind::Retry), Some(due))]).await;
    assert!(world.store.heads_of_keys(&[key("k")], world.now()).await.unwrap().is_empty());
    assert!(world.heads(seq, 1).await.is_empty());
    let heads = world.store.heads_of_keys(&[key("k")], due).await.unwrap();
    assert_eq!(heads.iter().map(|head| (head.job, head.attempts)).collect::<Vec<_>>(), [(seq.job(0), 1)]);
    assert_eq!(world.send(2, &[seq.job(0)]).await, [seq.job(0)], "a retry may be cut short");
}
