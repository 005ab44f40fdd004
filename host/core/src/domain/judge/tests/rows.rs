//! The rows of "When a job does not succeed", up to a conflict.

use super::*;

#[test]
fn delivered_succeeds() {
    let outcome = Outcome::Delivered {
        remotes: vec![remote()],
        changed: true,
        warnings: vec![problem()],
    };
    let succeeded = |drop_id_map| Verdict::Succeeded {
        remotes: vec![remote()],
        changed: true,
        warnings: vec![problem()],
        drop_id_map,
    };
    assert_eq!(judge(input(outcome.clone())), succeeded(false));
    assert_eq!(
        judge(JudgeInput {
            action: Action::Delete,
            ..input(outcome)
        }),
        succeeded(true)
    );
}

#[test]
fn throttled_waits_unspent_and_the_limit_closes() {
    let throttled = |bucket: Option<&str>, retry_after_ms| Outcome::Throttled {
        bucket: bucket.map(Into::into),
        retry_after_ms,
        problem: None,
    };
    let closes = |bucket: Option<&str>, ms| Again {
        close_limit: Some((bucket.map(Into::into), ms)),
        ..plain()
    };
    assert_eq!(
        again(judge(input(throttled(Some("writes"), 3000)))),
        closes(Some("writes"), 3000)
    );
    assert_eq!(
        again(judge(input(throttled(None, 0)))),
        closes(None, THROTTLE_MIN_MS),
        "no busy loop"
    );
    assert_eq!(
        again(judge(input(throttled(None, u64::MAX)))),
        closes(None, RETRY_AFTER_MAX_MS)
    );
    let late = JudgeInput {
        attempts_before: 99,
        ..input(throttled(None, 3000))
    };
    assert_eq!(
        again(judge(late)),
        closes(None, 3000),
        "however many attempts were spent"
    );
}

#[test]
fn throttled_call_closes_its_limit_and_the_items_wait() {
    let error = CallError::Throttled {
        bucket: Some("writes".into()),
        retry_after_ms: 3000,
        problem: None,
    };
    let verdict = judge_call(error, frame(WROTE, 50));
    assert_eq!(
        verdict.connection,
        ConnectionEffect::CloseLimit {
            bucket: Some("writes".into()),
            ms: 3000
        }
    );
    assert_eq!(again(verdict.judge(input(Outcome::NotAttempted))), plain());
}

#[test]
fn credential_refused_parks_the_connection_and_the_items_wait() {
    for error in [
        CallError::AuthRejected(problem()),
        CallError::SettingsInvalid(problem()),
    ] {
        let verdict = judge_call(error, frame(WROTE, 50));
        assert_eq!(verdict.connection, ConnectionEffect::Park(problem()));
        let again = again(verdict.judge(JudgeInput {
            attempts_before: 99,
            ..input(Outcome::NotAttempted)
        }));
        assert_eq!(
            again,
            Again {
                problem: Some(problem()),
                ..plain()
            }
        );
    }
}

#[test]
fn expired_credential_is_renewed_and_a_fresh_one_counts_for_the_circuit() {
    let effect = |credential, credential_fresh| {
        let frame = CallFrame {
            credential,
            credential_fresh,
            ..frame(WROTE, 1)
        };
        let verdict = judge_call(CallError::AuthExpired(problem()), frame);
        assert_eq!(verdict.unsettled, Unsettled::Waits);
        verdict.connection
    };
    for renewable in [Credential::Session, Credential::Token] {
        assert_eq!(effect(renewable, false), ConnectionEffect::Renew);
        assert_eq!(
            effect(renewable, true),
            ConnectionEffect::Unavailable {
                not_before_ms: None
            }
        );
    }
    assert_eq!(
        effect(Credential::Entered, false),
        ConnectionEffect::Park(problem()),
        "nobody can make it anew"
    );
}

#[test]
fn unavailable_counts_for_the_circuit_and_nothing_is_sent_before_the_time_named() {
    for (after_ms, expected) in [
        (None, None),
        (Some(0), None),
        (Some(3000), Some(3000)),
        (Some(u64::MAX), Some(RETRY_AFTER_MAX_MS)),
    ] {
        let verdict = judge_call(
            CallError::Unavailable {
                after_ms,
                problem: problem(),
            },
            frame(WROTE, 50),
        );
        assert_eq!(
            verdict.connection,
            ConnectionEffect::Unavailable {
                not_before_ms: expected
            }
        );
        let again = again(verdict.judge(input(Outcome::NotAttempted)));
        assert!(!again.attempt_spent);
        let waits = if expected.is_none() {
            (Some(WaitingKind::Retry), 1000)
        } else {
            (None, 0)
        };
        assert_eq!((again.reason, again.after_ms), waits, "no busy loop");
    }
}

#[test]
fn missing_room_on_the_host_says_nothing_about_the_connection() {
    let verdict = judge_call(CallError::NotRun(problem()), frame(QUIET, 50));
    assert_eq!(
        (&verdict.connection, verdict.guest_failed),
        (&ConnectionEffect::None, false)
    );
    assert_eq!(
        again(verdict.judge(input(Outcome::NotAttempted))),
        Again {
            problem: Some(problem()),
            ..plain()
        }
    );
}

#[test]
fn transient_with_retries_left_backs_off() {
    let expected = Again {
        reason: Some(WaitingKind::Retry),
        after_ms: 1000,
        attempt_spent: true,
        keep_pinned: true,
        problem: Some(problem()),
        ..plain()
    };
    assert_eq!(again(judge(input(retryable(None)))), expected);
    assert_eq!(
        again(judge(JudgeInput {
            attempts_before: 1,
            ..input(retryable(None))
        }))
        .after_ms,
        2000
    );
}

#[test]
fn transient_never_goes_before_retry_after() {
    let after = |ms| Outcome::Retryable {
        after_ms: Some(ms),
        problem: problem(),
    };
    assert_eq!(
        again(judge(JudgeInput {
            draw: 0.0,
            ..input(after(7000))
        }))
        .after_ms,
        7000
    );
    assert_eq!(
        again(judge(input(after(u64::MAX)))).after_ms,
        RETRY_AFTER_MAX_MS
    );
}

#[test]
fn transient_used_up_is_exhausted() {
    let verdict = judge(JudgeInput {
        attempts_before: 2,
        ..input(retryable(Some(503)))
    });
    assert_eq!(
        verdict,
        Verdict::Exhausted {
            problem: problem().status(503)
        }
    );
    let none = RetryRules {
        attempts: 0,
        ..RetryRules::default()
    };
    assert!(matches!(
        judge(JudgeInput {
            rules: &none,
            ..input(retryable(None))
        }),
        Verdict::Exhausted { .. }
    ));
}

#[test]
fn rejected_is_rejected() {
    assert_eq!(
        judge(input(Outcome::Rejected(problem()))),
        Verdict::Rejected(problem())
    );
    let lost = JudgeInput {
        answer_lost_before: true,
        ..input(Outcome::Rejected(problem()))
    };
    assert_eq!(judge(lost), Verdict::Rejected(problem()));
}

#[test]
fn parent_missing_waits_for_it_unspent() {
    let parents = vec![ObjectKey::new("brand", "1")];
    let expected = Again {
        reason: Some(WaitingKind::Dependency),
        parents: parents.clone(),
        ..plain()
    };
    assert_eq!(
        again(judge(JudgeInput {
            attempts_before: 99,
            ..input(Outcome::BlockedOn(parents))
        })),
        expected
    );
}

#[test]
fn blocked_on_nothing_spends_so_that_it_ends() {
    let again = again(judge(input(Outcome::BlockedOn(Vec::new()))));
    assert!(again.attempt_spent && again.reason == Some(WaitingKind::Retry));
    assert_eq!(again.problem.unwrap().code, CODE_BLOCKED_ON_NOTHING);
}

#[test]
fn conflict_goes_at_once_three_times_then_it_is_transient() {
    for conflicts_before in 0..3 {
        let verdict = judge(JudgeInput {
            conflicts_before,
            ..input(Outcome::Conflict(remote()))
        });
        assert_eq!(
            again(verdict),
            Again {
                conflict: true,
                there: Some(remote()),
                ..plain()
            }
        );
    }
    let fourth = JudgeInput {
        conflicts_before: 3,
        ..input(Outcome::Conflict(remote()))
    };
    let fourth_again = again(judge(fourth.clone()));
    assert_eq!(
        (fourth_again.reason, fourth_again.attempt_spent),
        (Some(WaitingKind::Retry), true)
    );
    assert_eq!(
        (fourth_again.there, fourth_again.keep_pinned),
        (Some(remote()), false)
    );
    assert!(matches!(judge(JudgeInput { attempts_before: 2, ..fourth }),
            Verdict::Exhausted { problem } if problem.code == CODE_CONFLICT));
}
