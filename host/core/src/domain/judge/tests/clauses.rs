//! The clauses of "Judgment": rules, statuses and their order.

use super::*;

#[test]
fn channel_rules_bind_rejected_and_retryable() {
    let channel = RetryRules {
        success_on: vec!["E_SAME".into()],
        retry_on: vec!["some.code".into()],
        reject_on: vec!["503".into()],
        ..rules().clone()
    };
    let under = |outcome| {
        judge(JudgeInput {
            rules: &channel,
            ..input(outcome)
        })
    };
    let same = Problem {
        destination_code: Some("E_SAME".into()),
        ..Problem::new("exists", "…")
    };
    let succeeded = Verdict::Succeeded {
        remotes: vec![],
        changed: false,
        warnings: vec![same.clone()],
        drop_id_map: false,
    };
    assert_eq!(under(Outcome::Rejected(same.clone())), succeeded);
    assert_eq!(
        under(Outcome::Retryable {
            after_ms: None,
            problem: same
        }),
        succeeded
    );
    let retried = again(under(Outcome::Rejected(problem())));
    assert!(
        retried.attempt_spent && !retried.keep_pinned,
        "a refusal proves that nothing was applied"
    );
    let refused = Problem::new("down", "…").status(503);
    assert_eq!(
        under(Outcome::Retryable {
            after_ms: None,
            problem: refused.clone()
        }),
        Verdict::Rejected(refused)
    );
}

#[test]
fn unknown_never_becomes_better_by_rules_or_status() {
    let channel = RetryRules {
        success_on: vec!["some.code".into(), "2xx".into(), "404".into()],
        ..rules().clone()
    };
    for status in [200, 404, 409, 429] {
        let outcome = Outcome::Unknown(problem().status(status));
        let item = JudgeInput {
            rules: &channel,
            idempotent: false,
            action: Action::Delete,
            ..input(outcome)
        };
        assert!(matches!(judge(item), Verdict::Unknown(_)), "{status}");
    }
}

#[test]
fn status_408_or_5xx_on_a_write_is_a_lost_answer_unless_idempotent() {
    for status in [408, 500, 503] {
        let item = input(retryable(Some(status)));
        let repeated = again(judge(item.clone()));
        assert!(
            repeated.keep_pinned && !repeated.answer_lost && repeated.attempt_spent,
            "{status}"
        );
        let create = JudgeInput {
            idempotent: false,
            action: Action::Create,
            ..item
        };
        assert!(
            matches!(judge(create.clone()), Verdict::Unknown(_)),
            "{status}"
        );
        let read_only = judge(JudgeInput {
            evidence: Evidence {
                anything_left: true,
                ..QUIET
            },
            ..create.clone()
        });
        assert!(again(read_only).attempt_spent, "no write left: {status}");
        let told = RetryRules {
            retry_on: vec![status.to_string()],
            ..rules().clone()
        };
        let told = again(judge(JudgeInput {
            rules: &told,
            ..create
        }));
        assert!(
            told.attempt_spent && told.keep_pinned,
            "the channel says so: {status}"
        );
    }
}

#[test]
fn retryable_without_a_refusal_is_a_lost_answer_unless_idempotent() {
    let told = RetryRules {
        retry_on: vec!["some.code".into(), "2xx".into()],
        ..rules().clone()
    };
    for status in [None, Some(200), Some(202)] {
        let repeated = again(judge(input(retryable(status))));
        assert!(repeated.keep_pinned && repeated.attempt_spent, "{status:?}");
        let create = JudgeInput {
            idempotent: false,
            action: Action::Create,
            ..input(retryable(status))
        };
        assert!(
            matches!(judge(create.clone()), Verdict::Unknown(_)),
            "{status:?}"
        );
        assert!(
            matches!(
                judge(JudgeInput {
                    rules: &told,
                    ..create.clone()
                }),
                Verdict::Unknown(_)
            ),
            "no rule makes it better: {status:?}"
        );
        assert!(
            again(judge(JudgeInput {
                evidence: QUIET,
                ..create.clone()
            }))
            .attempt_spent,
            "no write left: {status:?}"
        );
        let asked = again(judge(JudgeInput {
            reconciles: true,
            ..create
        }));
        assert!(
            asked.answer_lost && asked.keep_pinned,
            "the connector is asked first: {status:?}"
        );
    }
}

#[test]
fn status_423_425_or_429_is_transient_and_proves_that_nothing_was_applied() {
    for status in [423, 425, 429] {
        for outcome in [retryable(Some(status)), rejected(status)] {
            let again = again(judge(JudgeInput {
                idempotent: false,
                ..input(outcome)
            }));
            assert!(again.attempt_spent && !again.keep_pinned, "{status}");
        }
    }
}

#[test]
fn status_401_costs_no_attempt_and_drops_the_credential() {
    for outcome in [retryable(Some(401)), rejected(401)] {
        let again = again(judge(JudgeInput {
            attempts_before: 99,
            ..input(outcome)
        }));
        assert!(again.credential_refused && !again.attempt_spent && !again.keep_pinned);
        assert_eq!(
            (again.reason, again.after_ms),
            (Some(WaitingKind::Retry), 1000),
            "no busy loop"
        );
    }
}

#[test]
fn status_401_on_a_working_connection_is_the_items_and_ends() {
    for outcome in [retryable(Some(401)), rejected(401)] {
        let item = JudgeInput {
            credential: CredentialCheck::Works,
            ..input(outcome)
        };
        let spent = again(judge(item.clone()));
        assert!(spent.attempt_spent && !spent.credential_refused && !spent.keep_pinned);
        assert!(matches!(
            judge(JudgeInput {
                attempts_before: 2,
                ..item
            }),
            Verdict::Exhausted { .. }
        ));
    }
    let verdict = judge_call(CallError::AuthExpired(problem()), frame(WROTE, 2)).of_items();
    let item = JudgeInput {
        credential: CredentialCheck::Works,
        batch_size: 2,
        ..input(Outcome::NotAttempted)
    };
    let spent = again(verdict.judge(item));
    assert!(
        spent.attempt_spent && spent.halve,
        "another item of the call may be at fault"
    );
    assert_eq!(verdict.connection, ConnectionEffect::None);
}

#[test]
fn status_403_on_a_refused_connection_waits_unspent() {
    let refused = |credential| {
        judge(JudgeInput {
            attempts_before: 99,
            credential,
            ..input(rejected(403))
        })
    };
    assert!(matches!(
        refused(CredentialCheck::Works),
        Verdict::Rejected(_)
    ));
    let waits = again(refused(CredentialCheck::Refused));
    assert!(!waits.attempt_spent && waits.reason == Some(WaitingKind::Retry));
}

#[test]
fn status_404_on_delete_is_success() {
    let verdict = judge(JudgeInput {
        action: Action::Delete,
        ..input(rejected(404))
    });
    assert!(matches!(
        verdict,
        Verdict::Succeeded {
            changed: false,
            drop_id_map: true,
            ..
        }
    ));
}

#[test]
fn status_404_or_410_on_update_becomes_a_declared_upsert() {
    for status in [404, 410] {
        let update = JudgeInput {
            action: Action::Update,
            ..input(rejected(status))
        };
        let again = again(judge(update.clone()));
        assert_eq!(
            (again.act_as, again.attempt_spent, again.keep_pinned),
            (Some(Action::Upsert), false, false)
        );
        assert!(matches!(
            judge(JudgeInput {
                declares_upsert: false,
                ..update.clone()
            }),
            Verdict::Rejected(_)
        ));
        assert!(
            matches!(
                judge(JudgeInput {
                    action: Action::Upsert,
                    ..update
                }),
                Verdict::Rejected(_)
            ),
            "only once"
        );
    }
}

#[test]
fn status_413_halves_the_batch_and_rejects_when_alone() {
    let halved = again(judge(JudgeInput {
        batch_size: 2,
        ..input(rejected(413))
    }));
    assert!(halved.halve && !halved.attempt_spent);
    assert!(matches!(judge(input(rejected(413))), Verdict::Rejected(_)));
}

#[test]
fn status_4xx_rejects_the_item_and_403_does_not_park() {
    for status in [400, 403, 404, 409, 422] {
        assert_eq!(
            judge(input(rejected(status))),
            Verdict::Rejected(problem().status(status))
        );
    }
}

#[test]
fn connector_that_calls_a_500_a_refusal_is_believed() {
    assert_eq!(
        judge(input(rejected(500))),
        Verdict::Rejected(problem().status(500))
    );
}
