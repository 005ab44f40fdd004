//! One request for all items.

use egression_sdk::{
    Action, CallError, Expected, ItemOutcome, ObjectKey, Outcome, Remote, Reply, ScriptedChannel,
};
use serde_json::{Value, json};

use super::{SHOP, body, connection, deliver, products};

fn batch() -> Expected {
    Expected::post(format!("{SHOP}/product/batch")).auth_connection()
}

/// Delivers `count` products in one batch that gets this reply.
fn answered(action: Action, count: u32, reply: Reply) -> Result<Vec<ItemOutcome>, CallError> {
    let channel = ScriptedChannel::new().expect(batch(), reply);
    deliver(
        &channel,
        &connection("batch"),
        None,
        &products(action, count),
    )
}

/// The outcome of one product with this result in the batch.
fn result_of(action: Action, result: Value) -> Outcome {
    let mut outcomes = answered(action, 1, Reply::json(200, &json!({ "results": [result] })))
        .expect("the batch was answered");
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0).outcome
}

fn error(status: u16, code: &str) -> Value {
    json!({ "id": "p0", "status": status, "error": { "code": code, "message": "no" } })
}

fn whole_refusal(status: u16, code: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "error": { "code": code, "message": "no" } }),
    )
}

#[test]
fn batch_has_one_result_per_item() {
    let expected = batch().json(json!({ "items": [
        { "id": "p0", "action": "upsert", "idempotency_key": "key-product-p0", "body": body() },
        { "id": "p1", "action": "upsert", "idempotency_key": "key-product-p1", "body": body() },
    ]}));
    let reply = Reply::json(
        200,
        &json!({ "results": [
            { "id": "p0", "status": 200, "version": "8", "changed": true },
            { "id": "p1", "status": 200, "version": "3", "changed": false },
        ]}),
    );
    let channel = ScriptedChannel::new().expect(expected, reply);
    let items = products(Action::Upsert, 2);
    let outcomes = deliver(&channel, &connection("batch"), None, &items);
    let remote = |id: &str, version: &str| vec![Remote::new("product", id).version(version)];
    assert_eq!(
        outcomes,
        Ok(vec![
            items[0].settled(Outcome::delivered(remote("p0", "8"))),
            items[1].settled(Outcome::unchanged(remote("p1", "3"))),
        ])
    );
    assert_eq!(channel.requests()[0].cost_of("items"), Some(2));
}

#[test]
fn update_alone_requires_the_known_version() {
    for (action, word, version) in [
        (Action::Update, "update", Some("7")),
        (Action::Upsert, "upsert", None),
    ] {
        let mut part = json!({
            "id": "p0", "action": word, "idempotency_key": "key-product-p0", "body": body()
        });
        if let Some(version) = version {
            part["version"] = json!(version);
        }
        let channel = ScriptedChannel::new().expect(
            batch().json(json!({ "items": [part] })),
            Reply::json(200, &json!({ "results": [{ "id": "p0", "status": 200 }] })),
        );
        let item = products(action, 1)
            .remove(0)
            .known_as(Remote::new("product", "p0").version("7"));
        assert!(deliver(&channel, &connection("batch"), None, &[item]).is_ok());
    }
}

#[test]
fn missing_references_block_the_item() {
    let mut result = error(422, "reference.missing");
    result["error"]["references"] = json!([{ "type": "brand", "id": "8086" }]);
    assert_eq!(
        result_of(Action::Upsert, result),
        Outcome::blocked_on(vec![ObjectKey::new("brand", "8086")])
    );
    // Without references, there is nothing to wait for.
    assert!(matches!(
        result_of(Action::Upsert, error(422, "reference.missing")),
        Outcome::Rejected(_)
    ));
}

#[test]
fn conflict_has_the_version_of_the_shop() {
    let mut result = error(412, "version.conflict");
    result["error"]["version"] = json!("9");
    assert_eq!(
        result_of(Action::Update, result),
        Outcome::conflict(Remote::new("product", "p0").version("9"))
    );
}

#[test]
fn invalid_data_is_rejected_with_its_pointer() {
    let mut result = error(400, "body.invalid");
    result["error"]["pointer"] = json!("/name");
    match result_of(Action::Upsert, result) {
        Outcome::Rejected(problem) => {
            assert_eq!(problem.code, "body.invalid");
            assert_eq!(problem.pointer.as_deref(), Some("/name"));
            assert_eq!(problem.http_status, Some(400));
        }
        other => panic!("{other:?}"),
    }
    for (status, code) in [(412, "version.exists"), (422, "idempotency.reused")] {
        let outcome = result_of(Action::Create, error(status, code));
        assert!(matches!(outcome, Outcome::Rejected(p) if p.code == code));
    }
}

#[test]
fn missing_object_counts_as_deleted() {
    let missing = || error(404, "object.missing");
    assert_eq!(
        result_of(Action::Delete, missing()),
        Outcome::unchanged(Vec::new())
    );
    // For an update, the host decides by the status.
    assert!(matches!(
        result_of(Action::Update, missing()),
        Outcome::Rejected(p) if p.http_status == Some(404)
    ));
    assert!(matches!(
        result_of(Action::Delete, error(409, "object.referenced")),
        Outcome::Retryable(_)
    ));
    assert_eq!(
        result_of(Action::Delete, json!({ "id": "p0", "status": 204 })),
        Outcome::delivered(Vec::new())
    );
}

#[test]
fn refused_batch_ends_the_call() {
    let refused = |count| answered(Action::Upsert, count, whole_refusal(413, "batch.refused"));
    assert!(matches!(
        refused(2),
        Err(CallError::BatchRefused(p))
            if p.code == "batch.refused" && p.http_status == Some(413)
    ));
    // A single item cannot be halved.
    let alone = refused(1).expect("a single item is judged alone");
    assert!(matches!(&alone[0].outcome, Outcome::Rejected(_)));
}

#[test]
fn expired_token_ends_the_call() {
    let ended = answered(Action::Upsert, 2, whole_refusal(401, "token.expired"));
    assert!(matches!(ended, Err(CallError::AuthExpired(p)) if p.code == "token.expired"));
}

#[test]
fn throttling_has_the_time_of_the_shop() {
    let reply = whole_refusal(429, "limit.exceeded")
        .header("Retry-After", "3")
        .header("Retry-After-Ms", "2100");
    let ended = answered(Action::Upsert, 2, reply);
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 2_100));
    let seconds = whole_refusal(429, "limit.exceeded").header("Retry-After", "3");
    let ended = answered(Action::Upsert, 2, seconds);
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 3_000));
}

#[test]
fn server_error_proves_nothing() {
    let outcomes = answered(Action::Upsert, 2, Reply::status(503)).expect("judged by item");
    for outcome in outcomes {
        assert!(
            matches!(outcome.outcome, Outcome::Retryable(r) if r.problem.http_status == Some(503))
        );
    }
    let down = Reply::status(503).header("Retry-After", "5");
    let ended = answered(Action::Upsert, 2, down);
    assert!(matches!(ended, Err(CallError::Unavailable(r)) if r.after == Some(5_000)));
}

#[test]
fn lost_answer_makes_all_items_unknown() {
    let outcomes = answered(Action::Upsert, 2, Reply::lost()).expect("judged by item");
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert!(matches!(outcome.outcome, Outcome::Unknown(p) if p.code == "http.no_answer"));
    }
}

#[test]
fn unsent_batch_ends_the_call() {
    let ended = answered(Action::Upsert, 2, Reply::never_sent());
    assert!(matches!(ended, Err(CallError::Unavailable(_))));
    let ended = answered(Action::Upsert, 2, Reply::denied());
    assert!(matches!(ended, Err(CallError::SettingsInvalid(p)) if p.code == "http.denied"));
}

#[test]
fn closed_limit_throttles_until_it_opens() {
    // The time of the scripted channel is 2026-01-01T00:00:00Z.
    let ended = answered(Action::Upsert, 2, Reply::limited(1_767_225_600_000 + 700));
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 700));
}

#[test]
fn mismatched_answer_proves_nothing() {
    let cut = Reply::json(
        200,
        &json!({ "results": [{ "id": "p0", "status": 200, "version": "1" }] }),
    );
    let outcomes = answered(Action::Upsert, 2, cut).expect("judged by item");
    assert!(matches!(outcomes[0].outcome, Outcome::Delivered(_)));
    assert!(matches!(outcomes[1].outcome, Outcome::Unknown(_)));

    let other = Reply::json(200, &json!({ "results": [{ "id": "p7", "status": 200 }] }));
    let outcomes = answered(Action::Upsert, 1, other).expect("judged by item");
    assert!(matches!(outcomes[0].outcome, Outcome::Unknown(_)));

    let outcomes = answered(Action::Upsert, 1, Reply::status(200)).expect("judged by item");
    assert!(matches!(outcomes[0].outcome, Outcome::Unknown(_)));
}

#[test]
fn wrong_url_is_no_missing_object() {
    let ended = answered(Action::Delete, 2, Reply::status(404));
    assert!(matches!(ended, Err(CallError::SettingsInvalid(_))));
}

#[test]
fn invalid_json_body_is_rejected_alone() {
    let channel = ScriptedChannel::new().expect(
        batch().json(json!({ "items": [
            { "id": "p1", "action": "upsert", "idempotency_key": "key-product-p1", "body": body() }
        ]})),
        Reply::json(200, &json!({ "results": [{ "id": "p1", "status": 200 }] })),
    );
    let mut items = products(Action::Upsert, 2);
    items[0].body = Some("{".to_owned());
    let outcomes = deliver(&channel, &connection("batch"), None, &items).expect("answered");
    assert_eq!(outcomes[0].index, 0);
    assert!(matches!(&outcomes[0].outcome, Outcome::Rejected(p) if p.code == "body.invalid"));
    assert_eq!(outcomes[1].index, 1);
    assert!(matches!(outcomes[1].outcome, Outcome::Delivered(_)));
}

#[test]
fn dry_run_sends_nothing() {
    let channel = ScriptedChannel::new();
    let mut connection = connection("batch");
    connection.dry_run = true;
    let outcomes = deliver(&channel, &connection, None, &products(Action::Upsert, 1));
    assert!(matches!(&outcomes, Ok(o) if o[0].outcome == Outcome::NotAttempted));
    assert_eq!(channel.log_lines().len(), 1);
}
