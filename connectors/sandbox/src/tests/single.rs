//! One request per item, in order, with each item settled at once.

use egression_sdk::{
    Action, CallError, Expected, Item, ObjectKey, Outcome, Remote, Reply, ScriptedChannel,
};
use serde_json::{Value, json};

use super::{SHOP, body, connection, deliver, products};

fn put(id: &str) -> Expected {
    Expected::put(format!("{SHOP}/product/{id}")).auth_connection()
}

fn stored(id: &str, version: &str) -> Reply {
    Reply::json(
        200,
        &json!({ "id": id, "version": version, "changed": true }),
    )
}

fn refusal(status: u16, code: &str) -> Value {
    json!({ "error": { "code": code, "message": format!("refused with {status}") } })
}

/// The outcome of one item, which is reported and not returned.
fn reported(expected: Expected, reply: Reply, item: &Item) -> Outcome {
    let channel = ScriptedChannel::new().expect(expected, reply);
    let returned = deliver(
        &channel,
        &connection("single"),
        None,
        std::slice::from_ref(item),
    );
    assert_eq!(returned, Ok(Vec::new()));
    let mut reports = channel.reports();
    assert_eq!(reports.len(), 1);
    reports.remove(0).outcome
}

#[test]
fn items_are_sent_in_order_and_reported_each() {
    let channel = ScriptedChannel::new()
        .expect(
            put("p0")
                .json(body())
                .header("Idempotency-Key", "key-product-p0")
                .no_header("If-Match")
                .no_header("If-None-Match"),
            stored("p0", "1"),
        )
        .expect(put("p1"), stored("p1", "4"));
    let items = products(Action::Upsert, 2);
    let returned = deliver(&channel, &connection("single"), None, &items);
    assert_eq!(returned, Ok(Vec::new()));
    let delivered = |id: &str, version: &str| {
        Outcome::delivered(vec![Remote::new("product", id).version(version)])
    };
    assert_eq!(
        channel.reports(),
        vec![
            items[0].settled(delivered("p0", "1")),
            items[1].settled(delivered("p1", "4")),
        ]
    );
}

#[test]
fn actions_become_preconditions() {
    let known = |action| {
        products(action, 1)
            .remove(0)
            .known_as(Remote::new("product", "p0").version("7"))
    };
    reported(
        put("p0").header("If-None-Match", "*").no_header("If-Match"),
        stored("p0", "1"),
        &known(Action::Create),
    );
    reported(
        put("p0").header("If-Match", "\"7\""),
        stored("p0", "8"),
        &known(Action::Update),
    );
    reported(
        put("p0").header("If-Match", "*"),
        stored("p0", "8"),
        &products(Action::Update, 1)[0],
    );
    reported(
        put("p0").no_header("If-Match").no_header("If-None-Match"),
        stored("p0", "8"),
        &known(Action::Upsert),
    );
}

#[test]
fn id_stays_in_its_url_segment() {
    let item = Item::new(Action::Delete, "brand", "a/b c", None);
    let expected = Expected::delete(format!("{SHOP}/brand/a%2Fb%20c"));
    assert_eq!(
        reported(expected, Reply::status(204), &item),
        Outcome::delivered(Vec::new())
    );
    // No encoding preserves these ids, so nothing is sent.
    for id in [".", ".."] {
        let channel = ScriptedChannel::new();
        let returned = deliver(
            &channel,
            &connection("single"),
            None,
            &[Item::new(Action::Delete, "brand", id, None)],
        );
        assert_eq!(returned, Ok(Vec::new()));
        assert!(matches!(
            &channel.reports()[0].outcome,
            Outcome::Rejected(problem) if problem.code == "id.unaddressable"
        ));
    }
}

#[test]
fn delete_tells_a_missing_object_from_a_wrong_url() {
    let item = products(Action::Delete, 1).remove(0);
    let delete = || Expected::delete(format!("{SHOP}/product/p0"));
    let gone = Reply::json(404, &refusal(404, "object.missing"));
    assert_eq!(
        reported(delete(), gone, &item),
        Outcome::unchanged(Vec::new())
    );
    let channel = ScriptedChannel::new().expect(delete(), Reply::status(404));
    let ended = deliver(&channel, &connection("single"), None, &[item]);
    assert!(matches!(ended, Err(CallError::SettingsInvalid(_))));
}

#[test]
fn missing_reference_and_conflict_are_distinct() {
    let item = &products(Action::Update, 1)[0];
    let mut missing = refusal(422, "reference.missing");
    missing["error"]["references"] = json!([{ "type": "category", "id": "network" }]);
    assert_eq!(
        reported(put("p0"), Reply::json(422, &missing), item),
        Outcome::blocked_on(vec![ObjectKey::new("category", "network")])
    );
    let mut stale = refusal(412, "version.conflict");
    stale["error"]["version"] = json!("9");
    assert_eq!(
        reported(put("p0"), Reply::json(412, &stale), item),
        Outcome::conflict(Remote::new("product", "p0").version("9"))
    );
}

#[test]
fn settled_items_stay_settled_when_the_token_expires() {
    let channel = ScriptedChannel::new()
        .expect(put("p0"), stored("p0", "1"))
        .expect(put("p1"), Reply::json(401, &refusal(401, "token.revoked")));
    let items = products(Action::Upsert, 3);
    let ended = deliver(&channel, &connection("single"), None, &items);
    assert!(matches!(ended, Err(CallError::AuthExpired(p)) if p.code == "token.revoked"));
    assert_eq!(channel.reports().len(), 1);
}

#[test]
fn throttling_and_closed_limits_end_the_call() {
    let items = products(Action::Upsert, 2);
    let throttled = Reply::json(429, &refusal(429, "limit.exceeded")).header("Retry-After", "2");
    let channel = ScriptedChannel::new().expect(put("p0"), throttled);
    let ended = deliver(&channel, &connection("single"), None, &items);
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 2_000));

    let channel = ScriptedChannel::new()
        .expect(put("p0"), stored("p0", "1"))
        .expect(put("p1"), Reply::limited(1_767_225_600_000 + 50));
    let ended = deliver(&channel, &connection("single"), None, &items);
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 50));
    assert_eq!(channel.reports().len(), 1);
}

#[test]
fn unsettled_item_is_not_overtaken() {
    let mut stale = refusal(412, "version.conflict");
    stale["error"]["version"] = json!("9");
    for reply in [Reply::lost(), Reply::status(500), Reply::json(412, &stale)] {
        let channel = ScriptedChannel::new().expect(put("p0"), reply);
        let items = products(Action::Upsert, 3);
        let returned = deliver(&channel, &connection("single"), None, &items);
        assert_eq!(
            returned,
            Ok(vec![
                items[1].settled(Outcome::NotAttempted),
                items[2].settled(Outcome::NotAttempted),
            ])
        );
        let reports = channel.reports();
        assert_eq!(reports.len(), 1);
        assert!(matches!(
            reports[0].outcome,
            Outcome::Unknown(_) | Outcome::Retryable(_) | Outcome::Conflict(_)
        ));
    }
}

#[test]
fn rejected_item_does_not_stop_the_next_one() {
    let mut missing = refusal(422, "reference.missing");
    missing["error"]["references"] = json!([{ "type": "brand", "id": "8086" }]);
    let channel = ScriptedChannel::new()
        .expect(put("p0"), Reply::json(400, &refusal(400, "body.invalid")))
        .expect(put("p1"), Reply::json(422, &missing))
        .expect(put("p2"), stored("p2", "1"));
    let items = products(Action::Upsert, 3);
    let returned = deliver(&channel, &connection("single"), None, &items);
    assert_eq!(returned, Ok(Vec::new()));
    let reports = channel.reports();
    assert!(matches!(reports[0].outcome, Outcome::Rejected(_)));
    assert!(matches!(reports[1].outcome, Outcome::BlockedOn(_)));
    assert!(matches!(reports[2].outcome, Outcome::Delivered(_)));
}

#[test]
fn server_error_is_retried_and_refused_connection_ends_the_call() {
    let item = &products(Action::Upsert, 1)[0];
    assert!(matches!(
        reported(put("p0"), Reply::status(503), item),
        Outcome::Retryable(r) if r.problem.http_status == Some(503)
    ));
    let channel = ScriptedChannel::new().expect(put("p0"), Reply::never_sent());
    let ended = deliver(
        &channel,
        &connection("single"),
        None,
        std::slice::from_ref(item),
    );
    assert!(matches!(ended, Err(CallError::Unavailable(_))));
}

#[test]
fn delivery_stops_when_the_host_asks() {
    let channel = ScriptedChannel::new()
        .stop_after_reports(1)
        .expect(put("p0"), stored("p0", "1"));
    let items = products(Action::Upsert, 2);
    let returned = deliver(&channel, &connection("single"), None, &items);
    assert_eq!(returned, Ok(vec![items[1].settled(Outcome::NotAttempted)]));
}
