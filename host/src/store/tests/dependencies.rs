//! Children that wait for objects.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{SHOP, World, ended, execution, job, key, keyed, object, through, waits, waits_for};
use crate::store::rows::StagedItem;

const LATER: Wall = Wall(i64::MAX);
const WAITS: (JobState, Option<WaitingKind>) = (JobState::Waiting, Some(WaitingKind::Dependency));
const READY: (JobState, Option<WaitingKind>) = (JobState::Waiting, None);

#[tokio::test]
async fn child_is_released_when_its_last_parent_succeeds() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "b"), job(2, "child")])
        .await
        .execution;
    let (a, b, child) = (seq.job(0), seq.job(1), seq.job(2));
    world
        .settle(vec![waits_for(
            child,
            None,
            &[("a", Some(a)), ("b", Some(b))],
            LATER,
        )])
        .await;
    assert_eq!(world.state_of(child).await, WAITS);
    assert!(
        world.store.claim(&[child]).await.unwrap()[0]
            .waits_since
            .is_some()
    );
    assert_eq!(
        world
            .store
            .open_execution(seq)
            .await
            .unwrap()
            .unwrap()
            .progress[0]
            .belt
            .set_aside,
        1
    );
    assert!(
        world
            .deliver(a, JobState::Succeeded)
            .await
            .released
            .is_empty()
    );
    assert_eq!(
        world.deliver(b, JobState::Succeeded).await.released,
        [child]
    );
    assert_eq!(world.state_of(child).await, READY);
    assert_eq!(
        world.store.claim(&[child]).await.unwrap()[0].waits_since,
        None,
        "another wait has its own bound"
    );
}

#[tokio::test]
async fn children_are_orphaned_when_the_parent_does_not_succeed() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "child")])
        .await
        .execution;
    let (a, child) = (seq.job(0), seq.job(1));
    world
        .settle(vec![waits_for(child, None, &[("a", Some(a))], LATER)])
        .await;
    assert_eq!(world.deliver(a, JobState::Rejected).await.orphaned, [child]);
    assert_eq!(world.state_of(child).await, WAITS, "the caller ends it");
    world
        .settle(vec![ended(child, None, JobState::Failed)])
        .await;
    assert_eq!(world.state_of(child).await.0, JobState::Failed);
}

#[tokio::test]
async fn newer_job_replaces_a_failed_parent() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "child")])
        .await
        .execution;
    let (a, child) = (seq.job(0), seq.job(1));
    world
        .settle(vec![waits_for(child, None, &[("a", Some(a))], LATER)])
        .await;
    let newer = world.submit(vec![job(0, "a")]).await.execution.job(0);
    let changes = world.deliver(a, JobState::Failed).await;
    assert!(changes.orphaned.is_empty() && changes.released.is_empty());
    assert_eq!(
        world.deliver(newer, JobState::Succeeded).await.released,
        [child]
    );
}

#[tokio::test]
async fn older_success_does_not_release_a_child_of_a_newer_job() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a")]).await.execution;
    let second = world
        .submit(vec![job(0, "a"), job(1, "child")])
        .await
        .execution;
    let parents = world
        .store
        .unfinished_parents(
            SHOP,
            &[
                (second.job(1), object("a")),
                (second.job(1), object("none")),
                (seq.job(0), object("a")),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        parents,
        [Some(second.job(0)), None, None],
        "the newest, accepted no later, never itself"
    );
    world
        .settle(vec![waits_for(
            second.job(1),
            None,
            &[("a", parents[0])],
            LATER,
        )])
        .await;
    assert!(
        world
            .deliver(seq.job(0), JobState::Succeeded)
            .await
            .released
            .is_empty()
    );
    assert_eq!(
        world
            .deliver(second.job(0), JobState::Succeeded)
            .await
            .released,
        [second.job(1)]
    );
}

#[tokio::test]
async fn child_may_wait_for_an_object_without_a_job() {
    let world = World::new().await;
    let child = world.submit(vec![job(0, "child")]).await.execution.job(0);
    world
        .settle(vec![waits_for(child, None, &[("a", None)], LATER)])
        .await;
    let late = world.submit(vec![job(0, "a")]).await.execution.job(0);
    assert_eq!(
        world
            .store
            .unfinished_parents(SHOP, &[(child, object("a"))])
            .await
            .unwrap(),
        [None],
        "accepted later than the child"
    );
    assert_eq!(
        world.deliver(late, JobState::Superseded).await.released,
        [child]
    );
}

#[tokio::test]
async fn child_sees_a_parent_that_ended_before_its_wait() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "b"), job(2, "x"), job(3, "y")])
        .await
        .execution;
    world.deliver(seq.job(0), JobState::Succeeded).await;
    world.deliver(seq.job(1), JobState::Rejected).await;
    let changes = world
        .settle(vec![
            waits_for(seq.job(2), None, &[("a", Some(seq.job(0)))], LATER),
            waits_for(seq.job(3), None, &[("b", Some(seq.job(1)))], LATER),
        ])
        .await;
    assert_eq!(
        (changes.released.as_slice(), changes.orphaned.as_slice()),
        ([seq.job(2)].as_slice(), [seq.job(3)].as_slice())
    );
    assert_eq!(
        (
            world.state_of(seq.job(2)).await,
            world.state_of(seq.job(3)).await
        ),
        (READY, WAITS)
    );
}

#[tokio::test]
async fn child_does_not_wait_for_an_object_that_arrived_during_its_refusal() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "child")])
        .await
        .execution;
    let (a, child) = (seq.job(0), seq.job(1));
    assert_eq!(world.send(7, &[child]).await, [child]);
    world.deliver(a, JobState::Succeeded).await;
    let changes = world
        .settle(vec![waits_for(child, Some(7), &[("a", None)], LATER)])
        .await;
    assert_eq!(
        (world.state_of(child).await, changes.released),
        (READY, vec![child])
    );
    // Refused again although the object is there: the wait ends by its time.
    let delivered = world.now();
    while world.now() <= delivered {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.send(8, &[child]).await, [child]);
    world
        .settle(vec![waits_for(child, Some(8), &[("a", None)], LATER)])
        .await;
    assert_eq!(world.state_of(child).await, WAITS);
}

#[tokio::test]
async fn cancelled_parent_is_no_success() {
    let world = World::new().await;
    let parent = world.submit(vec![job(0, "a")]).await.execution;
    let child = world.submit(vec![job(0, "child")]).await.execution.job(0);
    world
        .settle(vec![waits_for(
            child,
            None,
            &[("a", Some(parent.job(0)))],
            LATER,
        )])
        .await;
    let changes = through(world.store.cancel_execution(parent, world.now()).await);
    world.check().await;
    assert_eq!(
        (changes.orphaned.as_slice(), changes.completed.as_slice()),
        ([child].as_slice(), [parent].as_slice())
    );
}

#[tokio::test]
async fn cycle_edge_is_ignored_with_an_event() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "b"), job(2, "c")])
        .await
        .execution;
    let (a, b, c) = (seq.job(0), seq.job(1), seq.job(2));
    world
        .settle(vec![
            waits_for(a, None, &[("b", Some(b))], LATER),
            waits_for(b, None, &[("c", None)], LATER),
        ])
        .await;
    let changes = world
        .settle(vec![waits_for(c, None, &[("a", Some(a))], LATER)])
        .await;
    assert_eq!(
        (changes.released.as_slice(), world.state_of(c).await),
        ([c].as_slice(), READY)
    );
    let stages: Vec<_> = world
        .store
        .events(c, 0, 9)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.stage)
        .collect();
    assert!(
        stages.contains(&"reference_ignored".to_owned()),
        "{stages:?}"
    );
    assert_eq!(world.deliver(c, JobState::Succeeded).await.released, [b]);
}

#[tokio::test]
async fn cycle_is_found_before_the_child_waits() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "b"), job(2, "c")])
        .await
        .execution;
    let (a, b, c) = (seq.job(0), seq.job(1), seq.job(2));
    world
        .settle(vec![
            waits_for(a, None, &[("b", Some(b))], LATER),
            waits_for(b, None, &[("c", None)], LATER),
        ])
        .await;
    let pairs = [
        (c, object("a"), Some(a)),
        (c, object("b"), None),
        (c, object("none"), None),
        (a, object("c"), Some(c)),
    ];
    assert_eq!(
        world.store.close_cycles(SHOP, &pairs).await.unwrap(),
        [true, true, false, false]
    );
}

#[tokio::test]
async fn child_does_not_wait_for_an_object_that_arrived_before_its_wait() {
    let world = World::new().await;
    let child = world.submit(vec![job(0, "child")]).await.execution.job(0);
    assert_eq!(
        world.store.are_there(SHOP, &[object("a")]).await.unwrap(),
        [false]
    );
    // Accepted after the child, and ended before the child's wait is written: nobody would release
    // the child later.
    let parent = world.submit(vec![job(0, "a")]).await.execution.job(0);
    world.deliver(parent, JobState::Succeeded).await;
    let changes = world
        .settle(vec![waits_for(child, None, &[("a", None)], LATER)])
        .await;
    assert_eq!(
        (world.state_of(child).await, changes.released),
        (READY, vec![child])
    );
}

#[tokio::test]
async fn waiting_child_lets_other_objects_of_its_key_pass() {
    let world = World::new().await;
    let seq = world
        .submit(vec![
            keyed(0, "a", "k"),
            keyed(1, "a", "k"),
            keyed(2, "b", "k"),
        ])
        .await
        .execution;
    world
        .settle(vec![waits_for(
            seq.job(0),
            None,
            &[("parent", None)],
            LATER,
        )])
        .await;
    let page = world.lane(seq, 1).await;
    assert_eq!(
        page.heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [seq.job(2)],
        "the same object is held, another passes"
    );
    assert_eq!(page.held, [key("k").1]);
    let other = world
        .submit(vec![keyed(0, "c", "k")])
        .await
        .execution
        .job(0);
    world.deliver(seq.job(2), JobState::Succeeded).await;
    let heads = world
        .store
        .heads_of_keys(&[key("k")], world.now())
        .await
        .unwrap();
    assert_eq!(
        heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [other],
        "also one of a later execution"
    );
    let parent = world.submit(vec![job(0, "parent")]).await.execution.job(0);
    assert_eq!(
        world.deliver(parent, JobState::Succeeded).await.released,
        [seq.job(0)]
    );
    let heads = world
        .store
        .heads(&[seq.job(0), seq.job(1), other])
        .await
        .unwrap();
    assert_eq!(
        heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [seq.job(0)],
        "it kept its place"
    );
}

#[tokio::test]
async fn unsealed_job_is_no_parent() {
    let world = World::new().await;
    let receiving = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(receiving, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    let child = world.submit(vec![job(0, "child")]).await.execution.job(0);
    assert_eq!(
        world
            .store
            .unfinished_parents(SHOP, &[(child, object("a"))])
            .await
            .unwrap(),
        [None]
    );
}

#[tokio::test]
async fn child_wait_ends_by_its_time_and_is_reported_again() {
    let world = World::new().await;
    let child = world.submit(vec![job(0, "child")]).await.execution.job(0);
    let due = Wall(5_000);
    world
        .settle(vec![waits_for(child, None, &[("a", None)], due)])
        .await;
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    let (heads, changes) = world.store.fall_due(due, 10).await.unwrap();
    world.check().await;
    assert_eq!(
        (heads.len(), changes.orphaned.as_slice()),
        (0, [child].as_slice())
    );
    assert!(
        world
            .store
            .fall_due(due, 10)
            .await
            .unwrap()
            .1
            .orphaned
            .is_empty()
    );
    assert_eq!(
        world
            .store
            .fall_due(due.plus_ms(30_000), 10)
            .await
            .unwrap()
            .1
            .orphaned,
        [child]
    );
    world.settle(vec![waits(child, None, None, None)]).await;
    assert_eq!(world.state_of(child).await, READY);
}
