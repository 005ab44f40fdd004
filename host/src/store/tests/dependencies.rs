//! Children that wait for objects.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::fixtures::{job, key, keyed, numbers, object, waits, waits_for};
use super::{LATER, SHOP, World};

const WAITS: (JobState, Option<WaitingKind>) = (JobState::Waiting, Some(WaitingKind::Dependency));
const READY: (JobState, Option<WaitingKind>) = (JobState::Waiting, None);

#[tokio::test]
async fn child_is_released_when_its_last_parent_succeeds() {
    let world = World::new().await;
    let [a, b, child] = world.submit_each(["a", "b", "child"]).await;
    world
        .wait_for(child, &[("a", Some(a)), ("b", Some(b))])
        .await;
    assert_eq!(world.state_of(child).await, WAITS);
    assert!(world.claim(child).await.waits_since.is_some());
    assert_eq!(world.progress(child.execution()).await[0].belt.set_aside, 1);
    assert_eq!(world.succeed(a).await.released, []);
    assert_eq!(world.succeed(b).await.released, [child]);
    assert_eq!(world.state_of(child).await, READY);
    assert_eq!(
        world.claim(child).await.waits_since,
        None,
        "another wait has its own bound"
    );
}

#[tokio::test]
async fn children_are_orphaned_when_the_parent_does_not_succeed() {
    let world = World::new().await;
    let [a, child] = world.submit_each(["a", "child"]).await;
    world.wait_for(child, &[("a", Some(a))]).await;
    assert_eq!(world.reject(a).await.orphaned, [child]);
    assert_eq!(world.state_of(child).await, WAITS, "the caller ends it");
    world.end(child, JobState::Failed).await;
    assert_eq!(world.state_of(child).await.0, JobState::Failed);
}

#[tokio::test]
async fn newer_job_replaces_a_failed_parent() {
    let world = World::new().await;
    let [a, child] = world.submit_each(["a", "child"]).await;
    world.wait_for(child, &[("a", Some(a))]).await;
    let newer = world.submit_one("a").await;
    let changes = world.deliver(a, JobState::Failed).await;
    assert!(changes.orphaned.is_empty() && changes.released.is_empty());
    assert_eq!(world.succeed(newer).await.released, [child]);
}

#[tokio::test]
async fn older_success_does_not_release_a_child_of_a_newer_job() {
    let world = World::new().await;
    let older = world.submit_one("a").await;
    let [newer, child] = world.submit_each(["a", "child"]).await;
    let pairs = [(child, "a"), (child, "none"), (older, "a")];
    let pairs = pairs.map(|(child, id)| (child, object(id)));
    assert_eq!(
        world.unfinished_parents(&pairs).await,
        [Some(newer), None, None],
        "the newest, accepted no later, never itself"
    );
    world.wait_for(child, &[("a", Some(newer))]).await;
    assert_eq!(world.succeed(older).await.released, []);
    assert_eq!(world.succeed(newer).await.released, [child]);
}

#[tokio::test]
async fn child_may_wait_for_an_object_without_a_job() {
    let world = World::new().await;
    let child = world.submit_one("child").await;
    world.wait_for(child, &[("a", None)]).await;
    let late = world.submit_one("a").await;
    assert_eq!(
        world.unfinished_parents(&[(child, object("a"))]).await,
        [None],
        "accepted later than the child"
    );
    let changes = world.deliver(late, JobState::Superseded).await;
    assert_eq!(changes.released, [child]);
}

#[tokio::test]
async fn child_sees_a_parent_that_ended_before_its_wait() {
    let world = World::new().await;
    let [a, b, x, y] = world.submit_each(["a", "b", "x", "y"]).await;
    world.succeed(a).await;
    world.reject(b).await;
    let changes = world
        .settle(vec![
            waits_for(x, None, &[("a", Some(a))], LATER),
            waits_for(y, None, &[("b", Some(b))], LATER),
        ])
        .await;
    assert_eq!((changes.released, changes.orphaned), (vec![x], vec![y]));
    assert_eq!(world.state_of(x).await, READY);
    assert_eq!(world.state_of(y).await, WAITS);
}

#[tokio::test]
async fn child_does_not_wait_for_an_object_that_arrived_during_its_refusal() {
    let world = World::new().await;
    let [a, child] = world.submit_each(["a", "child"]).await;
    let refused = |call| vec![waits_for(child, Some(call), &[("a", None)], LATER)];
    assert_eq!(world.send(7, &[child]).await, [child]);
    world.succeed(a).await;
    assert_eq!(world.settle(refused(7)).await.released, [child]);
    assert_eq!(world.state_of(child).await, READY);
    // Refused again although the object is there: the wait ends by its time.
    let delivered = world.now();
    while world.now() <= delivered {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.send(8, &[child]).await, [child]);
    world.settle(refused(8)).await;
    assert_eq!(world.state_of(child).await, WAITS);
}

#[tokio::test]
async fn cancelled_parent_is_no_success() {
    let world = World::new().await;
    let parent = world.submit_one("a").await;
    let child = world.submit_one("child").await;
    world.wait_for(child, &[("a", Some(parent))]).await;
    let changes = world.cancel(parent.execution()).await;
    assert_eq!(changes.orphaned, [child]);
    assert_eq!(changes.completed, [parent.execution()]);
}

#[tokio::test]
async fn cycle_edge_is_ignored_with_an_event() {
    let world = World::new().await;
    let [a, b, c] = world.submit_each(["a", "b", "c"]).await;
    world.wait_for(a, &[("b", Some(b))]).await;
    world.wait_for(b, &[("c", None)]).await;
    let changes = world.wait_for(c, &[("a", Some(a))]).await;
    assert_eq!(changes.released, [c]);
    assert_eq!(world.state_of(c).await, READY);
    let stages = world.stages(c).await;
    assert!(
        stages.iter().any(|(_, stage)| stage == "reference_ignored"),
        "{stages:?}"
    );
    assert_eq!(world.succeed(c).await.released, [b]);
}

#[tokio::test]
async fn cycle_is_found_before_the_child_waits() {
    let world = World::new().await;
    let [a, b, c] = world.submit_each(["a", "b", "c"]).await;
    world.wait_for(a, &[("b", Some(b))]).await;
    world.wait_for(b, &[("c", None)]).await;
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
    let child = world.submit_one("child").await;
    assert!(!world.is_there("a").await);
    // Accepted after the child, and ended before the child's wait is written: nobody would release
    // the child later.
    let parent = world.submit_one("a").await;
    world.succeed(parent).await;
    let changes = world.wait_for(child, &[("a", None)]).await;
    assert_eq!(changes.released, [child]);
    assert_eq!(world.state_of(child).await, READY);
}

#[tokio::test]
async fn waiting_child_lets_other_objects_of_its_key_pass() {
    let world = World::new().await;
    let jobs = [(0, "a"), (1, "a"), (2, "b")].map(|(index, id)| keyed(index, id, "k"));
    let seq = world.submit(jobs).await;
    let (child, same_object, free) = (seq.job(0), seq.job(1), seq.job(2));
    world.wait_for(child, &[("parent", None)]).await;
    let page = world.lane(seq, 1).await;
    assert_eq!(
        numbers(&page.heads),
        [free],
        "the same object is held, another passes"
    );
    assert_eq!(page.held, [key("k").1]);
    let other = world.submit_keyed("c", "k").await;
    world.succeed(free).await;
    assert_eq!(
        world.heads_of_key("k").await,
        [other],
        "also one of a later execution"
    );
    let parent = world.submit_one("parent").await;
    assert_eq!(world.succeed(parent).await.released, [child]);
    assert_eq!(
        world.heads_among(&[child, same_object, other]).await,
        [child],
        "it kept its place"
    );
}

#[tokio::test]
async fn unsealed_job_is_no_parent() {
    let world = World::new().await;
    world.receive([job(0, "a")]).await;
    let child = world.submit_one("child").await;
    assert_eq!(
        world.unfinished_parents(&[(child, object("a"))]).await,
        [None]
    );
}

#[tokio::test]
async fn child_wait_ends_by_its_time_and_is_reported_again() {
    let world = World::new().await;
    let child = world.submit_one("child").await;
    let due = Wall(5_000);
    world
        .settle(vec![waits_for(child, None, &[("a", None)], due)])
        .await;
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    let (heads, changes) = world.fall_due(due, 10).await;
    assert_eq!((heads, changes.orphaned), (vec![], vec![child]));
    assert_eq!(world.fall_due(due, 10).await.1.orphaned, []);
    let again = world.fall_due(due.plus_ms(30_000), 10).await.1;
    assert_eq!(again.orphaned, [child]);
    world.settle(vec![waits(child, None, None, None)]).await;
    assert_eq!(world.state_of(child).await, READY);
}
