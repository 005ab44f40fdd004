//! Login, check, and use of the token through its placeholder.

use egression_sdk::{
    Action, Call, CallError, Connection, Connector, Deposit, Expected, Findings, Reply,
    ScriptedChannel, Session,
};
use serde_json::json;

use super::{SHOP, connection, deliver, login_connection, products};
use crate::Sandbox;

fn login() -> Expected {
    Expected::post(format!("{SHOP}/login"))
        .auth_none()
        .reads_only()
}

fn authenticate(channel: &ScriptedChannel, connection: &Connection) -> Result<Session, CallError> {
    Sandbox::authenticate(&Call::new(channel, connection, None), None)
}

#[test]
fn login_deposits_the_token_and_keeps_its_placeholder() {
    let channel = ScriptedChannel::new().secret("api_key");
    let key = channel.placeholder_of("api_key");
    let channel = channel
        .expect(
            login().json(json!({ "api_key": key })),
            Reply::json(
                200,
                &json!({ "token": "t-1", "expires_in": 60, "account": "acme" }),
            ),
        )
        .expect(
            Expected::post(format!("{SHOP}/product/batch"))
                .auth_none()
                .header("Authorization", "Bearer {{secret:token#1}}"),
            Reply::json(200, &json!({ "results": [{ "id": "p0", "status": 200 }] })),
        );
    let connection = login_connection();
    let session = authenticate(&channel, &connection).expect("the key is good");

    let expires_at_ms = 1_767_225_600_000 + 60_000;
    assert_eq!(
        channel.deposits(),
        vec![Deposit {
            name: "token".to_owned(),
            value: "t-1".to_owned(),
            expires_at_ms: Some(expires_at_ms)
        }]
    );
    assert_eq!(session.expires_at, Some(expires_at_ms));
    assert_eq!(session.account.as_deref(), Some("acme"));
    assert!(!session.text().is_some_and(|text| text.contains("t-1")));

    let items = products(Action::Upsert, 1);
    assert!(deliver(&channel, &connection, Some(&session), &items).is_ok());
}

#[test]
fn login_with_a_refused_key_is_auth_rejected() {
    let refused = json!({ "error": { "code": "login.refused", "message": "no such key" } });
    let channel = ScriptedChannel::new()
        .secret("api_key")
        .expect(login(), Reply::json(401, &refused));
    let ended = authenticate(&channel, &login_connection());
    assert!(matches!(ended, Err(CallError::AuthRejected(p)) if p.code == "login.refused"));

    let without_key = authenticate(&ScriptedChannel::new(), &login_connection());
    assert!(matches!(without_key, Err(CallError::AuthRejected(p)) if p.code == "secret.missing"));
}

#[test]
fn login_that_fails_otherwise_can_be_repeated() {
    for (reply, after) in [
        (Reply::status(503), None),
        (Reply::never_sent(), None),
        (Reply::lost(), None),
        (Reply::status(503).header("Retry-After", "1"), Some(1_000)),
    ] {
        let channel = ScriptedChannel::new()
            .secret("api_key")
            .expect(login(), reply);
        let ended = authenticate(&channel, &login_connection());
        assert!(matches!(ended, Err(CallError::Unavailable(r)) if r.after == after));
    }
    let channel = ScriptedChannel::new()
        .secret("api_key")
        .expect(login(), Reply::status(429).header("Retry-After", "4"));
    let ended = authenticate(&channel, &login_connection());
    assert!(matches!(ended, Err(CallError::Throttled(t)) if t.retry_after == 4_000));
}

#[test]
fn delivery_without_a_session_is_auth_expired() {
    let channel = ScriptedChannel::new();
    let items = products(Action::Upsert, 1);
    for session in [None, Some(Session::new(Vec::new()))] {
        let ended = deliver(&channel, &login_connection(), session.as_ref(), &items);
        assert!(matches!(ended, Err(CallError::AuthExpired(_))));
    }
}

#[test]
fn managed_credential_needs_no_login() {
    let session = authenticate(&ScriptedChannel::new(), &connection("batch"));
    assert_eq!(session, Ok(Session::new(Vec::new())));
}

#[test]
fn check_returns_the_account() {
    let account = || {
        Expected::get(format!("{SHOP}/account"))
            .auth_connection()
            .reads_only()
    };
    let check = |reply| {
        let channel = ScriptedChannel::new().expect(account(), reply);
        Sandbox::check(&Call::new(&channel, &connection("batch"), None))
    };
    let found = Reply::json(200, &json!({ "account": "acme", "scopes": ["write"] }));
    assert_eq!(
        check(found),
        Ok(Findings::new(
            Some("acme".to_owned()),
            vec!["write".to_owned()]
        ))
    );
    assert!(matches!(
        check(Reply::status(401)),
        Err(CallError::AuthExpired(_))
    ));
    assert!(matches!(
        check(Reply::status(404)),
        Err(CallError::SettingsInvalid(_))
    ));
    assert!(matches!(
        check(Reply::status(500)),
        Err(CallError::Unavailable(_))
    ));
}

#[test]
fn invalid_settings_are_named() {
    let wrong = Connection::new(&json!({ "mode": "batch" }));
    let ended = deliver(
        &ScriptedChannel::new(),
        &wrong,
        None,
        &products(Action::Upsert, 1),
    );
    assert!(matches!(ended, Err(CallError::SettingsInvalid(p)) if p.message.contains("base_url")));
}
