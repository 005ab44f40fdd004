//! Claims, intents and settlements.

use egression_core::domain::action::Action;
use egression_core::domain::ids::SourceId;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::fixtures::{
    ended, event, in_belt, intent, job, jobs, lost, object, remote, repeats, settlement, waits,
};
use super::{SHOP, World};
use crate::store::rows::{IdMapChange, JobFilter, Settlement, StagedJob, Transition};

#[tokio::test]
async fn claim_carries_everything_a_delivery_needs() {
    let world = World::new().await;
    let inline = StagedJob {
        payload: Some("{\"a\":1}".to_owned()),
        revision: Some(u64::MAX),
        depends_on: vec![object("parent")],
        expires_at: Some(Wall(i64::MAX)),
        traceparent: Some("00-x".to_owned()),
        ..job(0, "a")
    };
    let resolved = StagedJob {
        source: Some(SourceId(3)),
        action: Action::Delete,
        ..job(1, "b")
    };
    let seq = world.submit([inline, resolved]).await;
    let wanted = [seq.job(1), seq.job(0), seq.job(9)];
    let claims = world.store.claim(&wanted).await.unwrap();
    let [resolved, inline] = claims.as_slice() else {
        panic!("{claims:?}")
    };
    assert_eq!(
        [resolved.job, inline.job],
        wanted[..2],
        "in the order of the request"
    );
    assert_eq!(
        (resolved.source, resolved.action, &resolved.payload),
        (Some(SourceId(3)), Action::Delete, &None)
    );
    assert_eq!(inline.payload.as_deref(), Some("{\"a\":1}"));
    assert_eq!(inline.revision, Some(u64::MAX));
    assert_eq!(inline.traceparent.as_deref(), Some("00-x"));
    assert_eq!(inline.depends_on, [object("parent")]);
    assert_eq!(inline.expires_at, Some(Wall(i64::MAX)));
    assert_eq!(inline.state, JobState::Waiting);
    assert!(
        inline.pinned.is_none() && inline.remotes.is_empty() && inline.delivered_revision.is_none()
    );
}

#[tokio::test]
async fn success_settles_id_map_revision_and_events() {
    let world = World::new().await;
    let one = world.submit_one("a").await;
    let seq = one.execution();
    assert_eq!(world.send(5, &[one]).await, [one]);
    let mut success = ended(one, Some(5), JobState::Succeeded);
    success.to = Transition::Ended {
        end: State::Succeeded { changed: false },
        block_key: None,
    };
    success.id_map = IdMapChange::Replace(vec![remote("product", "r1"), remote("price", "r2")]);
    success.delivered_revision = Some(8);
    success.events.push(event("succeeded"));
    let changes = world.settle(vec![success]).await;
    assert_eq!((changes.completed, changes.progress.len()), (vec![seq], 1));
    assert_eq!(changes.progress[0].belt.states[3], 1);
    let expected = [
        (1, "submitted"),
        (2, "sent"),
        (3, "responded"),
        (4, "succeeded"),
    ];
    assert_eq!(
        world.stages(one).await,
        expected.map(|(seq, stage)| (seq, stage.to_owned()))
    );
    world.add_events(one, vec![event("applied")]).await;
    assert_eq!(world.store.events(one, 4, 100).await.unwrap()[0].seq, 5);
    let row = world.row(one).await;
    assert_eq!(
        (row.state, row.changed, row.attempts),
        (JobState::Succeeded, Some(false), 1)
    );

    let again = world.submit_one("a").await;
    let claim = world.claim(again).await;
    assert_eq!(
        (claim.remotes, claim.delivered_revision),
        (
            vec![remote("price", "r2"), remote("product", "r1")],
            Some(8)
        )
    );
    world.send(6, &[again]).await;
    world
        .settle(vec![Settlement {
            delivered_revision: Some(4),
            ..ended(again, Some(6), JobState::Succeeded)
        }])
        .await;
    let third = world.submit_one("a").await;
    assert_eq!(
        world.claim(third).await.delivered_revision,
        Some(8),
        "a lower revision is not the newest"
    );
    assert!(world.is_there("a").await && !world.is_there("b").await);
    world.send(7, &[third]).await;
    world
        .settle(vec![Settlement {
            id_map: IdMapChange::Drop,
            ..ended(third, Some(7), JobState::Succeeded)
        }])
        .await;
    let objects = [object("a"), object("b")];
    assert_eq!(
        world.store.remotes(SHOP, &objects).await.unwrap(),
        [vec![], vec![]]
    );
    assert!(!world.is_there("a").await);
    let fourth = world.submit_one("a").await;
    assert_eq!(
        world.claim(fourth).await.delivered_revision,
        None,
        "a returning object starts again"
    );
    assert_eq!(world.history("a").await, [fourth, third, again, one]);
}

#[tokio::test]
async fn settlement_can_change_the_action() {
    let world = World::new().await;
    let one = world.submit_one("a").await;
    world.send(5, &[one]).await;
    world
        .settle(vec![Settlement {
            act_as: Some(Action::Create),
            ..waits(one, Some(5), None, None)
        }])
        .await;
    assert_eq!(world.row(one).await.action, Action::Create);
}

#[tokio::test]
async fn deliveries_are_counted_apart_from_revisions() {
    let world = World::new().await;
    for delivered in 0..3 {
        let [a, b] = world.submit_each(["a", "b"]).await;
        for (job, deliveries) in [(a, delivered), (b, 0)] {
            let claim = world.claim(job).await;
            assert_eq!(
                (claim.deliveries, claim.delivered_revision),
                (deliveries, None)
            );
        }
        world.succeed(a).await;
        world.reject(b).await;
    }
    let repeated = world.submit_one("a").await;
    let mut first = intent(repeated, 9);
    (first.pinned.revision, first.pinned.counted) = (None, Some(4));
    world.store.open_intent(vec![first]).await.unwrap();
    world.settle(vec![lost(repeated, 9)]).await;
    // Another job of the object with its own key may arrive before the repeat.
    let other = world.submit_keyed("a", "other").await;
    world.succeed(other).await;
    let claim = world.claim(repeated).await;
    assert_eq!(
        (claim.deliveries, claim.pinned.unwrap().counted),
        (4, Some(4)),
        "the repeat keeps its number"
    );
}

#[tokio::test]
async fn intents_open_for_waiting_jobs_only() {
    let world = World::new().await;
    let [a, b, c] = world.submit_each(["a", "b", "c"]).await;
    let cancel = async |job| world.store.cancel_job(job, world.now()).await.unwrap();
    let (cancelled, changes) = cancel(b).await;
    assert!(cancelled);
    assert_eq!(changes.gone, [b]);
    assert_eq!(world.send(1, &[a, b, c, a]).await, [a, c]);
    assert_eq!(world.send(2, &[a]).await, [], "in flight already");
    assert!(!cancel(a).await.0, "in flight keeps its true outcome");
    let open = world.store.open_intents().await.unwrap();
    let open: Vec<_> = open
        .iter()
        .map(|intent| (intent.job, intent.call))
        .collect();
    assert_eq!(open, [(a, 1), (c, 1)]);
    assert_eq!(world.store.last_call().await.unwrap(), 1);
}

#[tokio::test]
async fn settlement_of_another_call_or_state_is_stale() {
    let world = World::new().await;
    let [one, two] = world.submit_each(["a", "b"]).await;
    world.send(1, &[one]).await;
    let changes = world
        .settle(vec![
            ended(one, Some(2), JobState::Succeeded),
            ended(one, None, JobState::Succeeded),
            ended(two, Some(1), JobState::Succeeded),
        ])
        .await;
    assert_eq!(changes.stale, [one, one, two]);
    assert_eq!(changes.progress.len(), 0);
    assert_eq!(
        world.stages(one).await.len(),
        2,
        "a stale settlement writes no history"
    );
    let late = ended(one, Some(1), JobState::Rejected);
    let changes = world
        .settle(vec![ended(one, Some(1), JobState::Succeeded), late.clone()])
        .await;
    assert_eq!(changes.stale, [one], "the second of one batch");
    assert_eq!(world.settle(vec![late]).await.stale, [one]);
    assert_eq!(world.state_of(one).await.0, JobState::Succeeded);
}

#[tokio::test]
async fn pinned_bytes_survive_a_restart() {
    let world = World::new().await;
    let one = world.submit_one("a").await;
    world.send(1, &[one]).await;
    let world = world.reopen().await;
    assert_eq!(
        world.store.open_intents().await.unwrap().len(),
        1,
        "in flight at the kill"
    );
    world.settle(vec![lost(one, 1)]).await;
    let pinned = world.claim(one).await.pinned.unwrap();
    assert!(pinned.answer_lost);
    assert_eq!(pinned.idempotency_key, format!("key-{one}"));
    assert_eq!(pinned.body, intent(one, 1).pinned.body);
    assert!(world.lane(one.execution(), 1).await.heads[0].pinned);
    let world = world.reopen().await;
    assert_eq!(world.claim(one).await.pinned, Some(pinned));

    world.send(2, &[one]).await;
    let retry = Some(WaitingKind::Retry);
    let kept = repeats(one, Some(2), retry, Some(Wall(1)), false);
    world.settle(vec![kept]).await;
    let pinned = world.claim(one).await.pinned.unwrap();
    assert!(pinned.answer_lost, "a lost answer is not forgotten");
    world.send(3, &[one]).await;
    world.settle(vec![waits(one, Some(3), None, None)]).await;
    let pinned = world.claim(one).await.pinned;
    assert!(pinned.is_none(), "proved not applied");
}

#[tokio::test]
async fn problems_are_grouped_and_cleared_by_success() {
    let world = World::new().await;
    let seq = world.submit(jobs(4, "p")).await;
    let jobs = [0, 1, 2, 3].map(|index| seq.job(index));
    world.send(1, &jobs).await;
    let problem = Problem::new("server.error", "503").status(503);
    let retry = Transition::Waits {
        reason: Some(WaitingKind::Retry),
        until: Some(Wall(1)),
        parents: vec![],
        problem: Some(problem.clone()),
        keep_pinned: true,
        answer_lost: false,
    };
    let failed = Transition::Ended {
        end: State::Failed {
            code: FailureCode::RetriesExhausted,
            problem: problem.clone(),
        },
        block_key: None,
    };
    world
        .settle(vec![
            settlement(jobs[0], Some(1), retry),
            settlement(jobs[1], Some(1), failed),
            ended(jobs[2], Some(1), JobState::Rejected),
            ended(jobs[3], Some(1), JobState::Rejected),
        ])
        .await;
    let row = world.row(jobs[0]).await;
    assert_eq!((row.problem, row.due_at), (Some(problem), Some(Wall(1))));
    let groups = world.status(seq).await.errors;
    let groups: Vec<_> = groups
        .iter()
        .map(|group| (group.code.as_str(), group.state, group.jobs, group.example))
        .collect();
    assert_eq!(
        groups,
        [
            ("price.missing", JobState::Rejected, 2, jobs[2]),
            ("retries_exhausted", JobState::Failed, 1, jobs[1])
        ]
    );
    let found = async |filter: JobFilter, limit| {
        let found = world.store.jobs(seq, &filter, None, limit).await.unwrap();
        found.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    let by_states = JobFilter {
        states: vec![JobState::Failed, JobState::Rejected],
        ..JobFilter::default()
    };
    assert_eq!(found(by_states, 2).await, [jobs[1], jobs[2]]);
    let by_problem = JobFilter {
        problem_code: Some("price.missing".to_owned()),
        object_id: Some("p3".to_owned()),
        connections: vec![SHOP],
        ..JobFilter::default()
    };
    assert_eq!(found(by_problem, 9).await, [jobs[3]]);
    world.succeed(jobs[0]).await;
    assert_eq!(world.row(jobs[0]).await.problem, None);
}

#[tokio::test]
async fn belt_stays_marked_as_sent_when_all_jobs_wait_again() {
    let world = World::new().await;
    let seq = world.submit([job(0, "a"), in_belt(2, job(1, "b"))]).await;
    let first = seq.job(0);
    let sent = async |world: &World| {
        let progress = world.status(seq).await.progress;
        progress.iter().map(|row| row.sent).collect::<Vec<_>>()
    };
    assert_eq!(sent(&world).await, [false, false]);
    world.send(1, &[first]).await;
    assert_eq!(sent(&world).await, [true, false]);
    world.settle(vec![waits(first, Some(1), None, None)]).await;
    assert_eq!(world.state_of(first).await, (JobState::Waiting, None));
    assert_eq!(sent(&world).await, [true, false]);
    let world = world.reopen().await;
    assert_eq!(sent(&world).await, [true, false]);
}
