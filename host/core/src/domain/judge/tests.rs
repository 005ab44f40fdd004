//! One test for each row of 'What happens when a job does not succeed' and each clause of 'Judgement'.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::domain::outcome::CallError;

const QUIET: Evidence = Evidence { write_left: false, answer_lost: false, anything_left: false };
const WROTE: Evidence = Evidence { write_left: true, answer_lost: false, anything_left: true };
const LOST: Evidence = Evidence { write_left: true, answer_lost: true, anything_left: true };

fn rules() -> &'static RetryRules {
    static RULES: std::sync::LazyLock<RetryRules> =
        std::sync::LazyLock::new(|| RetryRules { attempts: 3, base_ms: 1000, max_ms: 60_000, ..RetryRules::default() });
    &RULES
}

/// An idempotent upsert, sent alone, first attempt, answered; the jitter draws its upper bound.
fn input(outcome: Outcome) -> JudgeInput<'static> {
    JudgeInput {
        action: Action::Upsert,
        idempotent: true,
        declares_upsert: true,
        rules: rules(),
        outcome,
        evidence: WROTE,
        attempts_before: 0,
        conflicts_before: 0,
        answer_lost_before: false,
        pinned_before: false,
        batch_size: 1,
        advanced: true,
        guest_failed: false,
        draw: 1.0,
    }
}

fn frame(evidence: Evidence, batch_size: u32) -> CallFrame {
    CallFrame { evidence, batch_size, has_session: true, credential_fresh: false }
}

fn problem() -> Problem {
    Problem::new("some.code", "Some sentence.")
}

fn retryable(status: Option<u16>) -> Outcome {
    Outcome::Retryable { after_ms: None, problem: Problem { http_status: status, ..problem() } }
}

fn rejected(status: u16) -> Outcome {
    Outcome::Rejected(problem().status(status))
}

fn remote() -> Remote {
    Remote { kind: "product".into(), id: "9".into(), version: Some("4".into()), url: None, sub_id: None }
}

#[track_caller]
fn again(verdict: Verdict) -> Again {
    match verdict {
        Verdict::Again(again) => again,
        other => panic!("goes again, but: {other:?}"),
    }
}

/// Goes again and waits for nothing of its own, unspent, with nothing pinned.
fn plain() -> Again {
    Again::default()
}

// The rows of the table.

#[test]
fn delivered_succeeds() {
    let outcome = Outcome::Delivered { remotes: vec![remote()], changed: true, warnings: vec![problem()] };
    let succeeded = |drop_id_map| Verdict::Succeeded { remotes: vec![remote()], changed: true, warnings: vec![problem()], drop_id_map };
    assert_eq!(judge(input(outcome.clone())), succeeded(false));
    assert_eq!(judge(JudgeInput { action: Action::Delete, ..input(outcome) }), succeeded(true));
}

#[test]
fn throttled_waits_unspent_and_the_limit_closes() {
    let throttled = |bucket: Option<&str>, retry_after_ms| Outcome::Throttled { bucket: bucket.map(Into::into), retry_after_ms, problem: None };
    let closes = |bucket: Option<&str>, ms| Again { close_limit: Some((bucket.map(Into::into), ms)), ..plain() };
    assert_eq!(again(judge(input(throttled(Some("writes"), 3000)))), closes(Some("writes"), 3000));
    assert_eq!(again(judge(input(throttled(None, 0)))), closes(None, THROTTLE_MIN_MS), "no busy loop");
    assert_eq!(again(judge(input(throttled(None, u64::MAX)))), closes(None, RETRY_AFTER_MAX_MS));
    let late = JudgeInput { attempts_before: 99, ..input(throttled(None, 3000)) };
    assert_eq!(again(judge(late)), closes(None, 3000), "however many attempts were spent");
}

#[test]
fn throttled_call_closes_its_limit_and_the_items_wait() {
    let error = CallError::Throttled { bucket: Some("writes".into()), retry_after_ms: 3000, problem: None };
    let verdict = judge_call(error, frame(WROTE, 50));
    assert_eq!(verdict.connection, ConnectionEffect::CloseLimit { bucket: Some("writes".into()), ms: 3000 });
    assert_eq!(again(verdict.judge(input(Outcome::NotAttempted))), plain());
}

#[test]
fn credential_refused_parks_the_connection_and_the_items_wait() {
    for error in [CallError::AuthRejected(problem()), CallError::SettingsInvalid(problem())] {
        let verdict = judge_call(error, frame(WROTE, 50));
        assert_eq!(verdict.connection, ConnectionEffect::Park(problem()));
        let again = again(verdict.judge(JudgeInput { attempts_before: 99, ..input(Outcome::NotAttempted) }));
        assert_eq!(again, Again { problem: Some(problem()), ..plain() });
    }
}

#[test]
fn an_expired_credential_is_made_anew_and_a_fresh_one_opens_the_circuit() {
    let effect = |has_session, credential_fresh| {
        let frame = CallFrame { has_session, credential_fresh, ..frame(WROTE, 1) };
        let verdict = judge_call(CallError::AuthExpired(problem()), frame);
        assert_eq!(verdict.unsettled, Unsettled::Waits);
        verdict.connection
    };
    assert_eq!(effect(true, false), ConnectionEffect::DropSession);
    assert_eq!(effect(false, false), ConnectionEffect::DropToken);
    assert_eq!(effect(true, true), ConnectionEffect::OpenCircuit { after_ms: FIRST_PROBE_MS });
    assert_eq!(effect(false, true), ConnectionEffect::OpenCircuit { after_ms: FIRST_PROBE_MS });
}

#[test]
fn unavailable_opens_the_circuit_and_the_items_wait() {
    for (after_ms, expected) in [(None, FIRST_PROBE_MS), (Some(3000), 3000), (Some(u64::MAX), RETRY_AFTER_MAX_MS)] {
        let verdict = judge_call(CallError::Unavailable { after_ms, problem: problem() }, frame(WROTE, 50));
        assert_eq!(verdict.connection, ConnectionEffect::OpenCircuit { after_ms: expected });
        assert!(!again(verdict.judge(input(Outcome::NotAttempted))).attempt_spent);
    }
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
    assert_eq!(again(judge(JudgeInput { attempts_before: 1, ..input(retryable(None)) })).after_ms, 2000);
}

#[test]
fn transient_never_goes_before_retry_after() {
    let after = |ms| Outcome::Retryable { after_ms: Some(ms), problem: problem() };
    assert_eq!(again(judge(JudgeInput { draw: 0.0, ..input(after(7000)) })).after_ms, 7000);
    assert_eq!(again(judge(input(after(u64::MAX)))).after_ms, RETRY_AFTER_MAX_MS);
}

#[test]
fn transient_used_up_is_exhausted() {
    let verdict = judge(JudgeInput { attempts_before: 2, ..input(retryable(Some(503))) });
    assert_eq!(verdict, Verdict::Exhausted { problem: problem().status(503) });
    let none = RetryRules { attempts: 0, ..RetryRules::default() };
    assert!(matches!(judge(JudgeInput { rules: &none, ..input(retryable(None)) }), Verdict::Exhausted { .. }));
}

#[test]
fn rejected_is_rejected() {
    assert_eq!(judge(input(Outcome::Rejected(problem()))), Verdict::Rejected(problem()));
    let lost = JudgeInput { answer_lost_before: true, ..input(Outcome::Rejected(problem())) };
    assert_eq!(judge(lost), Verdict::Rejected(problem()));
}

#[test]
fn parent_missing_waits_for_it_unspent() {
    let parents = vec![ObjectKey::new("brand", "1")];
    let expected = Again { reason: Some(WaitingKind::Dependency), parents: parents.clone(), ..plain() };
    assert_eq!(again(judge(JudgeInput { attempts_before: 99, ..input(Outcome::BlockedOn(parents)) })), expected);
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
        let verdict = judge(JudgeInput { conflicts_before, ..input(Outcome::Conflict(remote())) });
        assert_eq!(again(verdict), Again { conflict: true, there: Some(remote()), ..plain() });
    }
    let fourth = JudgeInput { conflicts_before: 3, ..input(Outcome::Conflict(remote())) };
    let fourth_again = again(judge(fourth.clone()));
    assert_eq!((fourth_again.reason, fourth_again.attempt_spent), (Some(WaitingKind::Retry), true));
    assert_eq!((fourth_again.there, fourth_again.keep_pinned), (Some(remote()), false));
    assert!(matches!(judge(JudgeInput { attempts_before: 2, ..fourth }), Verdict::Exhausted { problem } if problem.code == CODE_CONFLICT));
}

#[test]
fn lost_answer_of_an_idempotent_action_repeats_the_same_bytes() {
    let again = again(judge(JudgeInput { evidence: LOST, ..input(Outcome::Unknown(problem())) }));
    assert!(again.keep_pinned && again.answer_lost && again.attempt_spent && !again.halve);
    assert_eq!(again.reason, Some(WaitingKind::Retry));
}

#[test]
fn lost_answer_of_another_action_is_unknown() {
    let create = JudgeInput { action: Action::Create, idempotent: false, ..input(Outcome::Unknown(problem())) };
    assert_eq!(judge(create), Verdict::Unknown(problem()));
}

#[test]
fn repeats_used_up_after_a_lost_answer_are_unknown() {
    let last = |outcome| JudgeInput { attempts_before: 2, ..input(outcome) };
    assert!(matches!(judge(last(Outcome::Unknown(problem()))), Verdict::Unknown(_)));
    let later = JudgeInput { answer_lost_before: true, ..last(retryable(Some(503))) };
    assert!(matches!(judge(later), Verdict::Unknown(p) if p.code == "some.code" && p.message.contains("lost")));
    let not_attempted = JudgeInput { answer_lost_before: true, advanced: false, ..last(Outcome::NotAttempted) };
    assert!(matches!(judge(not_attempted), Verdict::Unknown(_)));
}

#[test]
fn not_attempted_is_not_spent_while_the_call_advances() {
    assert_eq!(again(judge(JudgeInput { batch_size: 50, ..input(Outcome::NotAttempted) })), plain());
}

#[test]
fn not_attempted_without_any_advance_spends_halves_and_backs_off() {
    let stuck = JudgeInput { batch_size: 50, advanced: false, evidence: QUIET, ..input(Outcome::NotAttempted) };
    let first = again(judge(stuck.clone()));
    assert!(first.attempt_spent && first.halve && !first.keep_pinned);
    assert_eq!((first.reason, first.after_ms), (Some(WaitingKind::Retry), 1000));
    assert!(!again(judge(JudgeInput { batch_size: 1, ..stuck.clone() })).halve, "alone at last");
    let used_up = judge(JudgeInput { batch_size: 1, attempts_before: 2, ..stuck });
    assert!(matches!(used_up, Verdict::Exhausted { problem } if problem.code == CODE_NOT_ATTEMPTED));
}

#[test]
fn trapped_before_any_write_is_not_attempted_and_the_poison_is_cornered() {
    let verdict = judge_call(CallError::Trapped(problem()), frame(QUIET, 50));
    assert_eq!(verdict.unsettled, Unsettled::Judged(Outcome::NotAttempted));
    assert!(verdict.halve && verdict.guest_failed);
    let item = JudgeInput { batch_size: 50, evidence: QUIET, ..input(Outcome::NotAttempted) };
    let item_again = again(verdict.judge(item.clone()));
    assert!(item_again.attempt_spent && item_again.halve && !item_again.keep_pinned, "though others advanced");
    assert_eq!(item_again.problem, Some(problem()), "with the reason of the trap");
    let used_up = verdict.judge(JudgeInput { attempts_before: 2, ..item });
    assert_eq!(used_up, Verdict::Exhausted { problem: problem() });
}

#[test]
fn trapped_after_a_write_takes_the_row_of_the_lost_answer() {
    for error in [CallError::Trapped(problem()), CallError::Internal(problem())] {
        let verdict = judge_call(error, frame(WROTE, 50));
        let item = JudgeInput { batch_size: 50, ..input(Outcome::NotAttempted) };
        let repeated = again(verdict.judge(item.clone()));
        assert!(repeated.keep_pinned && repeated.answer_lost && repeated.attempt_spent && repeated.halve);
        assert!(matches!(verdict.judge(JudgeInput { idempotent: false, ..item }), Verdict::Unknown(_)));
    }
}

#[test]
fn internal_before_any_write_spends_like_a_trap() {
    let verdict = judge_call(CallError::Internal(problem()), frame(QUIET, 1));
    assert!(!verdict.halve && verdict.guest_failed);
    assert!(again(verdict.judge(JudgeInput { evidence: QUIET, ..input(Outcome::NotAttempted) })).attempt_spent);
}

#[test]
fn accepted_is_left_to_the_caller() {
    let accepted = Outcome::Accepted { token: "feed-1".into(), again_after_ms: Some(5) };
    assert_eq!(judge(input(accepted)), Verdict::Accepted { token: "feed-1".into(), again_after_ms: Some(5) });
}

#[test]
fn a_refused_batch_is_halved_unspent_and_rejected_when_alone() {
    let refused = |batch_size| judge_call(CallError::BatchRefused(problem()), frame(WROTE, batch_size));
    let many = refused(50);
    assert!(many.halve && !many.guest_failed);
    let halved = again(many.judge(JudgeInput { batch_size: 50, attempts_before: 99, ..input(Outcome::NotAttempted) }));
    assert_eq!(halved, Again { halve: true, problem: Some(problem()), ..plain() });
    assert_eq!(refused(1).judge(input(Outcome::NotAttempted)), Verdict::Rejected(problem()));
}

#[test]
fn unsupported_is_rejected() {
    let verdict = judge_call(CallError::Unsupported(problem()), frame(QUIET, 9));
    assert_eq!(verdict.judge(input(Outcome::NotAttempted)), Verdict::Rejected(problem()));
}

#[test]
fn a_missing_index_is_never_success() {
    assert_eq!(missing_outcome(QUIET), Outcome::NotAttempted);
    assert!(matches!(missing_outcome(WROTE), Outcome::Unknown(_)));
    assert!(matches!(missing_outcome(LOST), Outcome::Unknown(_)));
}

// The clauses of the judgement.

#[test]
fn the_channels_rules_bind_rejected_and_retryable() {
    let channel = RetryRules {
        success_on: vec!["E_SAME".into()],
        retry_on: vec!["some.code".into()],
        reject_on: vec!["503".into()],
        ..rules().clone()
    };
    let under = |outcome| judge(JudgeInput { rules: &channel, ..input(outcome) });
    let same = Problem { destination_code: Some("E_SAME".into()), ..Problem::new("exists", "…") };
    let succeeded = Verdict::Succeeded { remotes: vec![], changed: false, warnings: vec![same.clone()], drop_id_map: false };
    assert_eq!(under(Outcome::Rejected(same.clone())), succeeded);
    assert_eq!(under(Outcome::Retryable { after_ms: None, problem: same }), succeeded);
    let retried = again(under(Outcome::Rejected(problem())));
    assert!(retried.attempt_spent && !retried.keep_pinned, "a refusal proves that nothing was applied");
    let refused = Problem::new("down", "…").status(503);
    assert_eq!(under(Outcome::Retryable { after_ms: None, problem: refused.clone() }), Verdict::Rejected(refused));
}

#[test]
fn unknown_never_becomes_better_by_rules_or_status() {
    let channel = RetryRules { success_on: vec!["some.code".into(), "2xx".into(), "404".into()], ..rules().clone() };
    for status in [200, 404, 409, 429] {
        let outcome = Outcome::Unknown(problem().status(status));
        let item = JudgeInput { rules: &channel, idempotent: false, action: Action::Delete, ..input(outcome) };
        assert!(matches!(judge(item), Verdict::Unknown(_)), "{status}");
    }
}

#[test]
fn a_408_or_5xx_on_a_write_is_a_lost_answer_unless_idempotent() {
    for status in [408, 500, 503] {
        let item = input(retryable(Some(status)));
        let repeated = again(judge(item.clone()));
        assert!(repeated.keep_pinned && !repeated.answer_lost && repeated.attempt_spent, "{status}");
        let create = JudgeInput { idempotent: false, action: Action::Create, ..item };
        assert!(matches!(judge(create.clone()), Verdict::Unknown(_)), "{status}");
        let read_only = judge(JudgeInput { evidence: Evidence { anything_left: true, ..QUIET }, ..create.clone() });
        assert!(again(read_only).attempt_spent, "no write left: {status}");
        let told = RetryRules { retry_on: vec![status.to_string()], ..rules().clone() };
        let told = again(judge(JudgeInput { rules: &told, ..create }));
        assert!(told.attempt_spent && told.keep_pinned, "the channel says so: {status}");
    }
}

#[test]
fn a_423_425_or_429_is_transient_and_proves_that_nothing_was_applied() {
    for status in [423, 425, 429] {
        for outcome in [retryable(Some(status)), rejected(status)] {
            let again = again(judge(JudgeInput { idempotent: false, ..input(outcome) }));
            assert!(again.attempt_spent && !again.keep_pinned, "{status}");
        }
    }
}

#[test]
fn a_401_costs_no_attempt_and_drops_the_credential() {
    for outcome in [retryable(Some(401)), rejected(401)] {
        let again = again(judge(JudgeInput { attempts_before: 99, ..input(outcome) }));
        assert!(again.credential_refused && !again.attempt_spent && !again.keep_pinned);
        assert_eq!((again.reason, again.after_ms), (Some(WaitingKind::Retry), 1000), "no busy loop");
    }
}

#[test]
fn a_404_on_delete_is_success() {
    let verdict = judge(JudgeInput { action: Action::Delete, ..input(rejected(404)) });
    assert!(matches!(verdict, Verdict::Succeeded { changed: false, drop_id_map: true, .. }));
}

#[test]
fn a_404_or_410_on_update_goes_as_upsert_where_that_is_declared() {
    for status in [404, 410] {
        let update = JudgeInput { action: Action::Update, ..input(rejected(status)) };
        let again = again(judge(update.clone()));
        assert_eq!((again.act_as, again.attempt_spent), (Some(Action::Upsert), false));
        assert!(matches!(judge(JudgeInput { declares_upsert: false, ..update.clone() }), Verdict::Rejected(_)));
        assert!(matches!(judge(JudgeInput { action: Action::Upsert, ..update }), Verdict::Rejected(_)), "only once");
    }
}

#[test]
fn a_413_halves_the_batch_and_rejects_when_alone() {
    let halved = again(judge(JudgeInput { batch_size: 2, ..input(rejected(413)) }));
    assert!(halved.halve && !halved.attempt_spent);
    assert!(matches!(judge(input(rejected(413))), Verdict::Rejected(_)));
}

#[test]
fn other_4xx_reject_the_item_and_403_does_not_park() {
    for status in [400, 403, 404, 409, 422] {
        assert_eq!(judge(input(rejected(status))), Verdict::Rejected(problem().status(status)));
    }
}

#[test]
fn a_connector_that_calls_a_500_a_refusal_is_believed() {
    assert_eq!(judge(input(rejected(500))), Verdict::Rejected(problem().status(500)));
}

// The gate's evidence.

#[test]
fn a_lost_answer_is_not_hidden_behind_retryable() {
    let hidden = JudgeInput { evidence: LOST, ..input(retryable(None)) };
    assert!(again(judge(hidden.clone())).answer_lost);
    assert!(matches!(judge(JudgeInput { idempotent: false, ..hidden }), Verdict::Unknown(_)));
    let answered = again(judge(JudgeInput { evidence: LOST, ..input(retryable(Some(503))) }));
    assert!(!answered.answer_lost, "the lost answer was another item's");
}

#[test]
fn a_lost_answer_is_not_hidden_behind_not_attempted() {
    let hidden = JudgeInput { evidence: LOST, advanced: false, ..input(Outcome::NotAttempted) };
    assert!(again(judge(hidden)).answer_lost);
    let others = JudgeInput { evidence: LOST, batch_size: 9, ..input(Outcome::NotAttempted) };
    assert!(!again(judge(others)).answer_lost, "it may be that of an item that advanced");
}

#[test]
fn a_lost_answer_is_not_hidden_behind_a_call_error() {
    let errors = [
        CallError::AuthExpired(problem()),
        CallError::AuthRejected(problem()),
        CallError::SettingsInvalid(problem()),
        CallError::Throttled { bucket: None, retry_after_ms: 1000, problem: None },
        CallError::Unavailable { after_ms: None, problem: problem() },
        CallError::BatchRefused(problem()),
        CallError::Unsupported(problem()),
        CallError::Internal(problem()),
        CallError::Trapped(problem()),
    ];
    for error in errors {
        let verdict = judge_call(error, frame(LOST, 2));
        let item = JudgeInput { evidence: LOST, ..input(Outcome::NotAttempted) };
        let repeated = again(verdict.judge(item.clone()));
        assert!(repeated.keep_pinned && repeated.answer_lost);
        assert!(matches!(verdict.judge(JudgeInput { idempotent: false, ..item }), Verdict::Unknown(_)));
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let status = prop::option::of(prop::sample::select(vec![200_u16, 302, 401, 404, 408, 409, 410, 413, 423, 429, 500, 503]));
    let problem = status.prop_map(|http_status| Problem { http_status, ..problem() });
    prop_oneof![
        Just(Outcome::Delivered { remotes: vec![], changed: true, warnings: vec![] }),
        Just(Outcome::Accepted { token: "t".into(), again_after_ms: None }),
        problem.clone().prop_map(Outcome::Rejected),
        (prop::option::of(any::<u64>()), problem.clone()).prop_map(|(after_ms, problem)| Outcome::Retryable { after_ms, problem }),
        any::<u64>().prop_map(|retry_after_ms| Outcome::Throttled { bucket: None, retry_after_ms, problem: None }),
        Just(Outcome::BlockedOn(vec![ObjectKey::new("brand", "1")])),
        Just(Outcome::Conflict(remote())),
        problem.prop_map(Outcome::Unknown),
        Just(Outcome::NotAttempted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_may_have_been_applied_is_never_forgotten(
        outcome in any_outcome(),
        (action, idempotent, declares_upsert) in (prop::sample::select(Action::ALL.to_vec()), any::<bool>(), any::<bool>()),
        (write_left, lost, advanced, guest_failed) in any::<(bool, bool, bool, bool)>(),
        (attempts_before, conflicts_before, batch_size) in (0..4_u32, 0..5_u32, 1..4_u32),
        (answer_lost_before, pinned_before) in any::<(bool, bool)>(),
    ) {
        let answer_lost = write_left && lost;
        let evidence = Evidence { write_left, answer_lost, anything_left: write_left };
        let said_unknown = matches!(outcome, Outcome::Unknown(_));
        let verdict = judge(JudgeInput {
            action, idempotent, declares_upsert, evidence, attempts_before, conflicts_before, answer_lost_before,
            pinned_before, batch_size, advanced, guest_failed, ..input(outcome)
        });
        match verdict {
            Verdict::Again(again) => {
                prop_assert!(!again.answer_lost || again.keep_pinned, "a lost answer pins the bytes");
                prop_assert!(!answer_lost_before || again.answer_lost, "a lost answer stays lost");
                prop_assert!(!pinned_before || again.keep_pinned, "pinned bytes stay pinned");
                prop_assert!(!said_unknown || (idempotent && again.answer_lost), "unknown repeats only what can be repeated");
                prop_assert!(!again.attempt_spent || attempts_before + 1 < rules().attempts, "no attempt beyond the last");
                prop_assert!(again.after_ms <= RETRY_AFTER_MAX_MS);
                prop_assert!(!again.halve || batch_size > 1, "one item has no halves");
            }
            Verdict::Exhausted { .. } => prop_assert!(!answer_lost_before && !said_unknown),
            Verdict::Succeeded { .. } | Verdict::Rejected(_) | Verdict::Accepted { .. } => prop_assert!(!said_unknown),
            Verdict::Unknown(_) => {}
        }
    }
}
