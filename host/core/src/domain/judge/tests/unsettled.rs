//! The rows about answers that are lost, items that are not attempted, and calls that end with an
//! error.

use super::*;

#[test]
fn lost_answer_of_an_idempotent_action_repeats_the_same_bytes() {
    let again = again(judge(JudgeInput {
        evidence: LOST,
        ..input(Outcome::Unknown(problem()))
    }));
    assert!(again.keep_pinned && again.answer_lost && again.attempt_spent && !again.halve);
    assert_eq!(again.reason, Some(WaitingKind::Retry));
}

#[test]
fn lost_answer_of_another_action_is_unknown() {
    let create = JudgeInput {
        action: Action::Create,
        idempotent: false,
        ..input(Outcome::Unknown(problem()))
    };
    assert_eq!(judge(create), Verdict::Unknown(problem()));
}

#[test]
fn repeats_used_up_after_a_lost_answer_are_unknown() {
    let last = |outcome| JudgeInput {
        attempts_before: 2,
        ..input(outcome)
    };
    assert!(matches!(
        judge(last(Outcome::Unknown(problem()))),
        Verdict::Unknown(_)
    ));
    let later = JudgeInput {
        answer_lost_before: true,
        ..last(retryable(Some(503)))
    };
    assert!(matches!(judge(later),
            Verdict::Unknown(p) if p.code == "some.code" && p.message.contains("lost")));
    let not_attempted = JudgeInput {
        answer_lost_before: true,
        advanced: false,
        ..last(Outcome::NotAttempted)
    };
    assert!(matches!(judge(not_attempted), Verdict::Unknown(_)));
}

#[test]
fn not_attempted_is_not_spent_while_the_call_advances() {
    assert_eq!(
        again(judge(JudgeInput {
            batch_size: 50,
            ..input(Outcome::NotAttempted)
        })),
        plain()
    );
}

#[test]
fn not_attempted_without_any_advance_spends_halves_and_backs_off() {
    let stuck = JudgeInput {
        batch_size: 50,
        advanced: false,
        evidence: QUIET,
        ..input(Outcome::NotAttempted)
    };
    let first = again(judge(stuck.clone()));
    assert!(first.attempt_spent && first.halve && !first.keep_pinned);
    assert_eq!(
        (first.reason, first.after_ms),
        (Some(WaitingKind::Retry), 1000)
    );
    assert!(
        !again(judge(JudgeInput {
            batch_size: 1,
            ..stuck.clone()
        }))
        .halve,
        "alone at last"
    );
    let used_up = judge(JudgeInput {
        batch_size: 1,
        attempts_before: 2,
        ..stuck
    });
    assert!(
        matches!(used_up, Verdict::Exhausted { problem } if problem.code == CODE_NOT_ATTEMPTED)
    );
}

#[test]
fn trapped_before_any_write_is_not_attempted_and_the_poison_is_cornered() {
    let verdict = judge_call(CallError::Trapped(problem()), frame(QUIET, 50));
    assert_eq!(verdict.unsettled, Unsettled::Judged(Outcome::NotAttempted));
    assert!(verdict.guest_failed);
    let item = JudgeInput {
        batch_size: 50,
        evidence: QUIET,
        ..input(Outcome::NotAttempted)
    };
    let item_again = again(verdict.judge(item.clone()));
    assert!(
        item_again.attempt_spent && item_again.halve && !item_again.keep_pinned,
        "though others advanced"
    );
    assert_eq!(
        item_again.problem,
        Some(problem()),
        "with the reason of the trap"
    );
    let used_up = verdict.judge(JudgeInput {
        attempts_before: 2,
        ..item
    });
    assert_eq!(used_up, Verdict::Exhausted { problem: problem() });
}

#[test]
fn trapped_after_a_write_takes_the_row_of_the_lost_answer() {
    for error in [
        CallError::Trapped(problem()),
        CallError::Internal(problem()),
    ] {
        let verdict = judge_call(error, frame(WROTE, 50));
        let item = JudgeInput {
            batch_size: 50,
            ..input(Outcome::NotAttempted)
        };
        let repeated = again(verdict.judge(item.clone()));
        assert!(
            repeated.keep_pinned
                && repeated.answer_lost
                && repeated.attempt_spent
                && repeated.halve
        );
        assert!(matches!(
            verdict.judge(JudgeInput {
                idempotent: false,
                ..item
            }),
            Verdict::Unknown(_)
        ));
    }
}

#[test]
fn internal_before_any_write_spends_like_a_trap() {
    let verdict = judge_call(CallError::Internal(problem()), frame(QUIET, 1));
    assert!(verdict.guest_failed);
    assert!(
        again(verdict.judge(JudgeInput {
            evidence: QUIET,
            ..input(Outcome::NotAttempted)
        }))
        .attempt_spent
    );
}

#[test]
fn accepted_is_left_to_the_caller() {
    let accepted = Outcome::Accepted {
        token: "feed-1".into(),
        again_after_ms: Some(5),
    };
    assert_eq!(
        judge(input(accepted)),
        Verdict::Accepted {
            token: "feed-1".into(),
            again_after_ms: Some(5)
        }
    );
}

#[test]
fn refused_batch_goes_again_unspent_and_is_rejected_when_alone() {
    let refused =
        |batch_size| judge_call(CallError::BatchRefused(problem()), frame(WROTE, batch_size));
    let many = refused(50);
    assert!(!many.guest_failed);
    let unspent = again(many.judge(JudgeInput {
        batch_size: 50,
        attempts_before: 99,
        ..input(Outcome::NotAttempted)
    }));
    assert_eq!(
        unspent,
        Again {
            problem: Some(problem()),
            ..plain()
        }
    );
    assert_eq!(
        refused(1).judge(input(Outcome::NotAttempted)),
        Verdict::Rejected(problem())
    );
}

#[test]
fn unsupported_is_rejected() {
    let verdict = judge_call(CallError::Unsupported(problem()), frame(QUIET, 9));
    assert_eq!(
        verdict.judge(input(Outcome::NotAttempted)),
        Verdict::Rejected(problem())
    );
}

#[test]
fn missing_index_is_never_success() {
    assert_eq!(missing_outcome(QUIET), Outcome::NotAttempted);
    assert!(matches!(missing_outcome(WROTE), Outcome::Unknown(_)));
    assert!(matches!(missing_outcome(LOST), Outcome::Unknown(_)));
}
