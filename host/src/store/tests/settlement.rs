//! Claims, intents and settlements.

use egression_core::domain::action::Action;
use egression_core::domain::ids::SourceId;
use egression_core::domain::object::Remote;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{SHOP, World, ended, event, intent, job, keyed, object, settlement, waits};
use crate::store::rows::{IdMapChange, JobFilter, Settlement, StagedJob, Transition};

fn remote(kind: &str, id: &str) -> Remote {
    Remote {
        kind: kind.to_owned(),
        id: id.to_owned(),
        version: Some("3".to_owned()),
        url: None,
        sub_id: None,
    }
}

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
    let seq = world.submit(vec![inline, resolved]).await.execution;
    let claims = world
        .store
        .claim(&[seq.job(1), seq.job(0), seq.job(9)])
        .await
        .unwrap();
    assert_eq!(
        claims.iter().map(|claim| claim.job).collect::<Vec<_>>(),
        [seq.job(1), seq.job(0)],
        "in the order of the request"
    );
    assert_eq!(
        (
            claims[0].source,
            claims[0].action,
            claims[0].payload.as_deref()
        ),
        (Some(SourceId(3)), Action::Delete, None)
    );
    let inline = &claims[1];
    assert_eq!(
        (
            inline.payload.as_deref(),
            inline.revision,
            inline.traceparent.as_deref()
        ),
        (Some("{\"a\":1}"), Some(u64::MAX), Some("00-x"))
    );
    assert_eq!(
        (
            inline.depends_on.as_slice(),
            inline.expires_at,
            inline.state
        ),
        (
            [object("parent")].as_slice(),
            Some(Wall(i64::MAX)),
            JobState::Waiting
        )
    );
    assert!(
        inline.pinned.is_none() && inline.remotes.is_empty() && inline.delivered_revision.is_none()
    );
}

#[tokio::test]
async fn success_settles_id_map_revision_and_events() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a")]).await.execution;
    let one = seq.job(0);
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
    assert_eq!(
        (changes.completed.as_slice(), changes.progress.len()),
        ([seq].as_slice(), 1)
    );
    assert_eq!(changes.progress[0].belt.states[3], 1);
    let stages: Vec<_> = world
        .store
        .events(one, 0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|event| (event.seq, event.stage))
        .collect();
    let expected = [
        (1, "submitted"),
        (2, "sent"),
        (3, "responded"),
        (4, "succeeded"),
    ];
    assert_eq!(stages, expected.map(|(seq, stage)| (seq, stage.to_owned())));
    world.add_events(one, vec![event("applied")]).await;
    assert_eq!(world.store.events(one, 4, 100).await.unwrap()[0].seq, 5);
    let row = world.row(one).await;
    assert_eq!(
        (row.state, row.changed, row.attempts),
        (JobState::Succeeded, Some(false), 1)
    );

    let again = world.submit(vec![job(0, "a")]).await.execution.job(0);
    let claim = world.store.claim(&[again]).await.unwrap().remove(0);
    assert_eq!(
        (claim.remotes.as_slice(), claim.delivered_revision),
        (
            [remote("price", "r2"), remote("product", "r1")].as_slice(),
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
    let third = world.submit(vec![job(0, "a")]).await.execution.job(0);
    assert_eq!(
        world.store.claim(&[third]).await.unwrap()[0].delivered_revision,
        Some(8),
        "a lower revision is not the newest"
    );
    assert_eq!(
        world
            .store
            .are_there(SHOP, &[object("a"), object("b")])
            .await
            .unwrap(),
        [true, false]
    );
    world.send(7, &[third]).await;
    world
        .settle(vec![Settlement {
            id_map: IdMapChange::Drop,
            ..ended(third, Some(7), JobState::Succeeded)
        }])
        .await;
    assert_eq!(
        world
            .store
            .remotes(SHOP, &[object("a"), object("b")])
            .await
            .unwrap(),
        [vec![], vec![]]
    );
    assert_eq!(
        world.store.are_there(SHOP, &[object("a")]).await.unwrap(),
        [false]
    );
    let fourth = world.submit(vec![job(0, "a")]).await.execution.job(0);
    assert_eq!(
        world.store.claim(&[fourth]).await.unwrap()[0].delivered_revision,
        None,
        "a returning object starts again"
    );
    let history = world
        .store
        .object_jobs(None, &object("a"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        history.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [fourth, third, again, one]
    );
}

#[tokio::test]
async fn settlement_can_change_the_action() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a")]).await.execution;
    let one = seq.job(0);
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
    let counts = async |job| {
        let claim = world.store.claim(&[job]).await.unwrap().remove(0);
        (claim.deliveries, claim.delivered_revision)
    };
    for delivered in 0..3 {
        let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
        assert_eq!(
            (counts(seq.job(0)).await, counts(seq.job(1)).await),
            ((delivered, None), (0, None))
        );
        world.deliver(seq.job(0), JobState::Succeeded).await;
        world.deliver(seq.job(1), JobState::Rejected).await;
    }
    let repeated = world.submit(vec![job(0, "a")]).await.execution.job(0);
    let mut first = intent(repeated, 9);
    (first.pinned.revision, first.pinned.counted) = (None, Some(4));
    world.store.open_intent(vec![first.clone()]).await.unwrap();
    let lost = Transition::Waits {
        reason: None,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: true,
    };
    world
        .settle(vec![settlement(repeated, Some(9), lost)])
        .await;
    // Another job of the object with its own key may arrive before the repeat.
    let other = world
        .submit(vec![keyed(0, "a", "other")])
        .await
        .execution
        .job(0);
    world.deliver(other, JobState::Succeeded).await;
    let claim = world.store.claim(&[repeated]).await.unwrap().remove(0);
    assert_eq!(
        (claim.deliveries, claim.pinned.unwrap().counted),
        (4, Some(4)),
        "the repeat keeps its number"
    );
}

#[tokio::test]
async fn intents_open_for_waiting_jobs_only() {
    let world = World::new().await;
    let seq = world
        .submit(vec![job(0, "a"), job(1, "b"), job(2, "c")])
        .await
        .execution;
    let (cancelled, changes) = world
        .store
        .cancel_job(seq.job(1), world.now())
        .await
        .unwrap();
    assert!(cancelled);
    assert_eq!(changes.gone, [seq.job(1)]);
    assert_eq!(
        world
            .send(1, &[seq.job(0), seq.job(1), seq.job(2), seq.job(0)])
            .await,
        [seq.job(0), seq.job(2)]
    );
    assert!(
        world.send(2, &[seq.job(0)]).await.is_empty(),
        "in flight already"
    );
    assert!(
        !world
            .store
            .cancel_job(seq.job(0), world.now())
            .await
            .unwrap()
            .0,
        "in flight keeps its true outcome"
    );
    let open = world.store.open_intents().await.unwrap();
    assert_eq!(
        open.iter()
            .map(|intent| (intent.job, intent.call))
            .collect::<Vec<_>>(),
        [(seq.job(0), 1), (seq.job(2), 1)]
    );
    assert_eq!(world.store.last_call().await.unwrap(), 1);
}

#[tokio::test]
async fn settlement_of_another_call_or_state_is_stale() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    let (one, two) = (seq.job(0), seq.job(1));
    world.send(1, &[one]).await;
    let changes = world
        .settle(vec![
            ended(one, Some(2), JobState::Succeeded),
            ended(one, None, JobState::Succeeded),
            ended(two, Some(1), JobState::Succeeded),
        ])
        .await;
    assert_eq!(
        (changes.stale.as_slice(), changes.progress.len()),
        ([one, one, two].as_slice(), 0)
    );
    assert_eq!(
        world.store.events(one, 0, 100).await.unwrap().len(),
        2,
        "a stale settlement writes no history"
    );
    let changes = world
        .settle(vec![
            ended(one, Some(1), JobState::Succeeded),
            ended(one, Some(1), JobState::Rejected),
        ])
        .await;
    assert_eq!(changes.stale, [one], "the second of one batch");
    assert_eq!(
        world
            .settle(vec![ended(one, Some(1), JobState::Rejected)])
            .await
            .stale,
        [one]
    );
    assert_eq!(world.state_of(one).await.0, JobState::Succeeded);
}

#[tokio::test]
async fn pinned_bytes_survive_a_restart() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a")]).await.execution;
    let one = seq.job(0);
    world.send(1, &[one]).await;
    let world = world.reopen().await;
    assert_eq!(
        world.store.open_intents().await.unwrap().len(),
        1,
        "in flight at the kill"
    );
    let lost = Transition::Waits {
        reason: None,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: true,
    };
    world.settle(vec![settlement(one, Some(1), lost)]).await;
    let pinned = world
        .store
        .claim(&[one])
        .await
        .unwrap()
        .remove(0)
        .pinned
        .unwrap();
    assert_eq!(
        (
            pinned.answer_lost,
            pinned.idempotency_key.as_str(),
            pinned.body.clone()
        ),
        (
            true,
            format!("key-{one}").as_str(),
            intent(one, 1).pinned.body
        )
    );
    assert!(world.lane(seq, 1).await.heads[0].pinned);
    let world = world.reopen().await;
    assert_eq!(
        world
            .store
            .claim(&[one])
            .await
            .unwrap()
            .remove(0)
            .pinned
            .unwrap(),
        pinned
    );

    world.send(2, &[one]).await;
    let kept = Transition::Waits {
        reason: Some(WaitingKind::Retry),
        until: Some(Wall(1)),
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: false,
    };
    world.settle(vec![settlement(one, Some(2), kept)]).await;
    let pinned = world
        .store
        .claim(&[one])
        .await
        .unwrap()
        .remove(0)
        .pinned
        .unwrap();
    assert!(pinned.answer_lost, "a lost answer is not forgotten");
    world.send(3, &[one]).await;
    world.settle(vec![waits(one, Some(3), None, None)]).await;
    assert!(
        world.store.claim(&[one]).await.unwrap()[0].pinned.is_none(),
        "proved not applied"
    );
}

#[tokio::test]
async fn problems_are_grouped_and_cleared_by_success() {
    let world = World::new().await;
    let seq = world
        .submit((0..4).map(|i| job(i, &format!("p{i}"))).collect())
        .await
        .execution;
    let jobs: Vec<_> = (0..4).map(|i| seq.job(i)).collect();
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
    let groups = world.store.execution(seq).await.unwrap().unwrap().errors;
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
    let filter = JobFilter {
        states: vec![JobState::Failed, JobState::Rejected],
        ..JobFilter::default()
    };
    let found = world.store.jobs(seq, &filter, None, 2).await.unwrap();
    assert_eq!(
        found.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [jobs[1], jobs[2]]
    );
    let filter = JobFilter {
        problem_code: Some("price.missing".to_owned()),
        object_id: Some("p3".to_owned()),
        connections: vec![SHOP],
        ..JobFilter::default()
    };
    assert_eq!(
        world.store.jobs(seq, &filter, None, 9).await.unwrap().len(),
        1
    );
    world.deliver(jobs[0], JobState::Succeeded).await;
    assert_eq!(world.row(jobs[0]).await.problem, None);
}

#[tokio::test]
async fn belt_stays_marked_as_sent_when_all_jobs_wait_again() {
    let world = World::new().await;
    let seq = world
        .submit(vec![
            job(0, "a"),
            StagedJob {
                belt: 2,
                ..job(1, "b")
            },
        ])
        .await
        .execution;
    let sent = async |world: &World| {
        let status = world.store.execution(seq).await.unwrap().unwrap();
        status
            .progress
            .iter()
            .map(|row| row.sent)
            .collect::<Vec<_>>()
    };
    assert_eq!(sent(&world).await, [false, false]);
    world.send(1, &[seq.job(0)]).await;
    assert_eq!(sent(&world).await, [true, false]);
    world
        .settle(vec![waits(seq.job(0), Some(1), None, None)])
        .await;
    assert_eq!(world.state_of(seq.job(0)).await, (JobState::Waiting, None));
    assert_eq!(sent(&world).await, [true, false]);
    let world = world.reopen().await;
    assert_eq!(sent(&world).await, [true, false]);
}
