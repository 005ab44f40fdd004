//! A difference from the script fails the test.

use serde_json::json;

use super::*;

fn send(channel: &ScriptedChannel, request: &Request) -> Result<Response, HttpError> {
    channel.send(request)
}

#[test]
fn channel_follows_the_script_and_records() {
    let channel = ScriptedChannel::new()
        .expect(
            Expected::put("https://a.test/1").json(json!({"b": 1, "a": 2})),
            Reply::json(200, &json!({"ok": true})).header("ETag", "\"3\""),
        )
        .expect(
            Expected::get("https://a.test/2").reads_only(),
            Reply::lost(),
        );
    let first = send(
        &channel,
        &Request::put("https://a.test/1").json(&json!({"a": 2, "b": 1})),
    );
    assert_eq!(
        first.ok().and_then(|r| r.header("etag").map(str::to_owned)),
        Some("\"3\"".to_owned())
    );
    let second = send(&channel, &Request::get("https://a.test/2"));
    assert!(matches!(second, Err(HttpError::SentWithoutAnswer(_))));
    assert_eq!(channel.requests().len(), 2);
}

#[test]
#[should_panic(expected = "If-Match: expected \"7\", got none")]
fn request_that_differs_fails() {
    let channel = ScriptedChannel::new().expect(
        Expected::put("https://a.test/1").header("If-Match", "\"7\""),
        Reply::status(200),
    );
    let _ = send(&channel, &Request::put("https://a.test/1"));
}

#[test]
#[should_panic(expected = "expects no further request")]
fn request_too_many_fails() {
    let _ = send(&ScriptedChannel::new(), &Request::get("https://a.test"));
}

#[test]
#[should_panic(expected = "1 expected requests were not sent; the first is GET https://a.test")]
fn request_too_few_fails() {
    drop(ScriptedChannel::new().expect(Expected::get("https://a.test"), Reply::status(200)));
}

#[test]
#[should_panic(expected = "never replaces a placeholder in host or path")]
fn placeholder_in_the_path_fails() {
    let channel = ScriptedChannel::new().secret("key");
    let url = format!("https://a.test/{}", channel.placeholder_of("key"));
    let _ = send(&channel, &Request::get(url));
}

#[test]
#[should_panic(expected = "call placeholders_in_json")]
fn placeholder_in_a_body_must_be_enabled() {
    let channel = ScriptedChannel::new().secret("key");
    let body = json!({"key": channel.placeholder_of("key")});
    let _ = send(&channel, &Request::post("https://a.test").json(&body));
}

#[test]
fn deposit_is_a_new_generation() {
    let channel = ScriptedChannel::new();
    assert_eq!(
        channel.placeholder("token"),
        Err(CredentialError::Missing("token".to_owned()))
    );
    assert_eq!(channel.deposit("token", "t1", Some(5)), Ok(()));
    let first = channel.placeholder_of("token");
    assert_eq!(channel.deposit("token", "t2", None), Ok(()));
    assert_ne!(channel.placeholder_of("token"), first);
    assert_eq!(
        channel.deposits()[0],
        Deposit {
            name: "token".to_owned(),
            value: "t1".to_owned(),
            expires_at_ms: Some(5)
        }
    );
}

#[test]
fn report_asks_to_stop_after_the_limit() {
    let channel = ScriptedChannel::new().stop_after_reports(2);
    let outcome = |index| ItemOutcome {
        index,
        outcome: crate::Outcome::NotAttempted,
    };
    assert!(!channel.report(vec![outcome(0)]));
    assert!(channel.report(vec![outcome(1)]));
    assert_eq!(channel.reports().len(), 2);
}
