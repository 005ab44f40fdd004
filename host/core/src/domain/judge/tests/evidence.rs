//! The gate's evidence outweighs the connector's report, and a possible application is never
//! forgotten.

use proptest::prelude::*;

use super::*;

#[test]
fn lost_answer_is_not_hidden_behind_retryable() {
    let hidden = JudgeInput {
        evidence: LOST,
        ..input(retryable(None))
    };
    assert!(again(judge(hidden.clone())).answer_lost);
    assert!(matches!(
        judge(JudgeInput {
            idempotent: false,
            ..hidden
        }),
        Verdict::Unknown(_)
    ));
    let answered = again(judge(JudgeInput {
        evidence: LOST,
        ..input(retryable(Some(503)))
    }));
    assert!(!answered.answer_lost, "the lost answer was another item's");
}

#[test]
fn lost_answer_is_not_hidden_behind_not_attempted() {
    let hidden = JudgeInput {
        evidence: LOST,
        advanced: false,
        ..input(Outcome::NotAttempted)
    };
    assert!(again(judge(hidden)).answer_lost);
    let others = JudgeInput {
        evidence: LOST,
        batch_size: 9,
        ..input(Outcome::NotAttempted)
    };
    assert!(
        !again(judge(others)).answer_lost,
        "it may be that of an item that advanced"
    );
}

#[test]
fn lost_answer_is_not_hidden_behind_a_call_error() {
    let errors = [
        CallError::AuthExpired(problem()),
        CallError::AuthRejected(problem()),
        CallError::SettingsInvalid(problem()),
        CallError::Throttled {
            bucket: None,
            retry_after_ms: 1000,
            problem: None,
        },
        CallError::Unavailable {
            after_ms: None,
            problem: problem(),
        },
        CallError::BatchRefused(problem()),
        CallError::Unsupported(problem()),
        CallError::Internal(problem()),
        CallError::Trapped(problem()),
    ];
    for error in errors {
        let verdict = judge_call(error, frame(LOST, 2));
        let item = JudgeInput {
            evidence: LOST,
            ..input(Outcome::NotAttempted)
        };
        let repeated = again(verdict.judge(item.clone()));
        assert!(repeated.keep_pinned && repeated.answer_lost);
        assert!(matches!(
            verdict.judge(JudgeInput {
                idempotent: false,
                ..item
            }),
            Verdict::Unknown(_)
        ));
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let status = prop::option::of(prop::sample::select(vec![
        200_u16, 302, 401, 404, 408, 409, 410, 413, 423, 429, 500, 503,
    ]));
    let problem = status.prop_map(|http_status| Problem {
        http_status,
        ..problem()
    });
    prop_oneof![
        Just(Outcome::Delivered {
            remotes: vec![],
            changed: true,
            warnings: vec![]
        }),
        Just(Outcome::Accepted {
            token: "t".into(),
            again_after_ms: None
        }),
        problem.clone().prop_map(Outcome::Rejected),
        (prop::option::of(any::<u64>()), problem.clone())
            .prop_map(|(after_ms, problem)| Outcome::Retryable { after_ms, problem }),
        any::<u64>().prop_map(|retry_after_ms| Outcome::Throttled {
            bucket: None,
            retry_after_ms,
            problem: None
        }),
        Just(Outcome::BlockedOn(vec![ObjectKey::new("brand", "1")])),
        Just(Outcome::Conflict(remote())),
        problem.prop_map(Outcome::Unknown),
        Just(Outcome::NotAttempted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn possible_application_is_never_forgotten(
        outcome in any_outcome(),
        (action, idempotent, declares_upsert) in (prop::sample::select(Action::ALL.to_vec()),
            any::<bool>(), any::<bool>()),
        (write_left, lost, advanced, guest_failed) in any::<(bool, bool, bool, bool)>(),
        (attempts_before, conflicts_before, batch_size) in (0..4_u32, 0..5_u32, 1..4_u32),
        (answer_lost_before, pinned_before) in any::<(bool, bool)>(),
    ) {
        let answer_lost = write_left && lost;
        let evidence = Evidence { write_left, answer_lost, anything_left: write_left };
        let said_unknown = matches!(outcome, Outcome::Unknown(_));
        // A status that refuses proves that nothing was applied; so does 423, 425 or 429.
        let proves_nothing = matches!(&outcome, Outcome::Retryable { problem, .. }
            if problem
                .http_status
                .is_none_or(|status| !(400..500).contains(&status) || status == 408));
        let verdict = judge(JudgeInput {
            action, idempotent, declares_upsert, evidence, attempts_before, conflicts_before,
            answer_lost_before,
            pinned_before, batch_size, advanced, guest_failed, ..input(outcome)
        });
        match verdict {
            Verdict::Again(again) => {
                prop_assert!(!again.answer_lost || again.keep_pinned,
                    "a lost answer pins the bytes");
                let not_there = again.act_as.is_some();
                prop_assert!(!not_there || !again.keep_pinned,
                    "what goes as another action is not a repeat");
                prop_assert!(!answer_lost_before || again.answer_lost || not_there,
                    "a lost answer stays lost");
                let harmless = idempotent || !write_left || again.answer_lost;
                prop_assert!(!proves_nothing || harmless,
                    "what may have been applied is not done twice");
                prop_assert!(!pinned_before || again.keep_pinned || not_there,
                    "pinned bytes stay pinned");
                prop_assert!(!said_unknown || (idempotent && again.answer_lost),
                    "unknown repeats only what can be repeated");
                prop_assert!(!again.attempt_spent || attempts_before + 1 < rules().attempts,
                    "no attempt beyond the last");
                prop_assert!(again.after_ms <= RETRY_AFTER_MAX_MS);
                prop_assert!(!again.halve || batch_size > 1, "one item has no halves");
            }
            Verdict::Exhausted { .. } => prop_assert!(!answer_lost_before && !said_unknown),
            Verdict::Succeeded { .. } | Verdict::Rejected(_) | Verdict::Accepted { .. } => {
                prop_assert!(!said_unknown);
            }
            Verdict::Unknown(_) => {}
        }
    }
}
