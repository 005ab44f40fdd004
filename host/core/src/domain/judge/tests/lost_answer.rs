//! The row of the lost answer, with a connector that can tell whether the send arrived.

use super::*;

fn found(found: Option<Outcome>) -> LostAnswer<'static> {
    LostAnswer {
        action: Action::Create,
        idempotent: false,
        rules: rules(),
        attempts: 1,
        found,
    }
}

#[track_caller]
fn ended(input: LostAnswer<'_>) -> Verdict {
    match judge_lost_answer(input) {
        AfterLostAnswer::Ends(verdict) => *verdict,
        other => panic!("ends, but: {other:?}"),
    }
}

#[test]
fn lost_answer_waits_until_the_connector_was_asked() {
    let lost = JudgeInput {
        reconciles: true,
        evidence: LOST,
        ..input(Outcome::Unknown(problem()))
    };
    let create = JudgeInput {
        action: Action::Create,
        idempotent: false,
        ..lost.clone()
    };
    let last = JudgeInput {
        attempts_before: 2,
        ..create.clone()
    };
    let late = JudgeInput {
        attempts_before: 2,
        answer_lost_before: true,
        ..JudgeInput {
            evidence: WROTE,
            ..lost.clone()
        }
    };
    for input in [
        lost,
        create,
        last,
        JudgeInput {
            outcome: retryable(Some(503)),
            ..late
        },
    ] {
        let again = again(judge(input));
        assert!(again.keep_pinned && again.answer_lost && again.attempt_spent);
        assert_eq!(again.reason, Some(WaitingKind::Retry));
    }
    let other = JudgeInput {
        reconciles: true,
        attempts_before: 2,
        ..input(retryable(Some(503)))
    };
    assert!(
        matches!(judge(other), Verdict::Exhausted { .. }),
        "no answer is missing"
    );
}

#[test]
fn lost_answer_that_arrived_is_settled() {
    let delivered = Outcome::Delivered {
        remotes: vec![remote()],
        changed: true,
        warnings: vec![],
    };
    let succeeded = |drop_id_map| {
        AfterLostAnswer::Ends(Box::new(Verdict::Succeeded {
            remotes: vec![remote()],
            changed: true,
            warnings: vec![],
            drop_id_map,
        }))
    };
    assert_eq!(
        judge_lost_answer(found(Some(delivered.clone()))),
        succeeded(false)
    );
    let last = LostAnswer {
        attempts: 3,
        action: Action::Delete,
        ..found(Some(delivered))
    };
    assert_eq!(
        judge_lost_answer(last),
        succeeded(true),
        "also after the last attempt"
    );
}

#[test]
fn lost_answer_that_did_not_arrive_is_repeated_for_any_action() {
    assert_eq!(
        judge_lost_answer(found(Some(Outcome::NotAttempted))),
        AfterLostAnswer::Repeats { answer_lost: false }
    );
    let last = LostAnswer {
        attempts: 3,
        ..found(Some(Outcome::NotAttempted))
    };
    assert!(
        matches!(ended(last), Verdict::Exhausted { problem } if problem.code == CODE_ANSWER_LOST)
    );
}

#[test]
fn lost_answer_without_a_finding_follows_the_idempotency_rule() {
    let vague = [
        None,
        Some(Outcome::Unknown(problem())),
        Some(Outcome::Rejected(problem())),
        Some(retryable(Some(503))),
    ];
    for outcome in vague {
        assert!(matches!(ended(found(outcome.clone())),
                Verdict::Unknown(p) if p.code == CODE_ANSWER_LOST));
        let idempotent = LostAnswer {
            idempotent: true,
            ..found(outcome)
        };
        assert_eq!(
            judge_lost_answer(idempotent.clone()),
            AfterLostAnswer::Repeats { answer_lost: true }
        );
        assert!(matches!(
            ended(LostAnswer {
                attempts: 3,
                ..idempotent
            }),
            Verdict::Unknown(_)
        ));
    }
}
