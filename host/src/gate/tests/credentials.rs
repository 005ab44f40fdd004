//! Secrets on their way out and back.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::gate::exchange::SendError;

const SECRET: &str = "s3cr/et \"value\"+42";

fn echo(seen: &Seen) -> Reply {
    let all = format!("{}\n{:?}\n{}", seen.line, seen.headers, seen.body);
    let header = seen.header("x-key").unwrap_or_default().to_owned();
    Reply::Answer(200, vec![("x-echo".into(), header)], all.into_bytes())
}

#[tokio::test]
async fn placeholders_become_secrets_and_responses_are_redacted() {
    let house = House::new().await;
    let server = Server::start(&house.clock, echo).await;
    house.keep("key", SECRET, &["127.0.0.1"]).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let text = call.placeholder("key").await.unwrap();
    assert_eq!(text, call.placeholder("key").await.unwrap());

    let mut request = post(
        &server.url(&format!("/x?a=1&key=pre-{text}&b=%20")),
        &format!("{{\"n\": 1.10, \"key\": \"<{text}>\"}}"),
    );
    request.headers = vec![("X-Key".into(), format!("Key {text}"))];
    request.body_placeholders = BodyPlaceholders::Json;
    let answer = call.send(request).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(
        seen.line,
        "POST /x?a=1&key=pre-s3cr%2Fet%20%22value%22%2B42&b=%20 HTTP/1.1"
    );
    assert_eq!(seen.header("x-key"), Some(format!("Key {SECRET}").as_str()));
    assert_eq!(
        seen.body,
        "{\"n\": 1.10, \"key\": \"<s3cr/et \\\"value\\\"+42>\"}"
    );
    assert!(
        answer
            .headers
            .contains(&("x-echo".to_owned(), "Key ***".to_owned())),
        "{:?}",
        answer.headers
    );
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!body.contains("s3cr") && body.contains("***"), "{body}");
    let shown = &call.exchanges()[0].url;
    assert!(
        shown.contains("key=pre-***&b") && !shown.contains("egression"),
        "{shown}"
    );
    assert_eq!(call.redact(&format!("it was {SECRET}!")), "it was ***!");

    let mut form = post(
        &server.url("/form"),
        &format!(
            "a=1&key={}&c=%26",
            text.replace('{', "%7B").replace(':', "%3A")
        ),
    );
    form.body_placeholders = BodyPlaceholders::Form;
    call.send(form).await.unwrap();
    assert_eq!(
        server.seen()[1].body,
        "a=1&key=s3cr%2Fet%20%22value%22%2B42&c=%26"
    );
}

#[tokio::test]
async fn irreplaceable_placeholder_is_denied() {
    let house = House::new().await;
    let server = Server::start(&house.clock, echo).await;
    house.keep("key", SECRET, &["127.0.0.1"]).await;
    let gate = house
        .gate(vec![
            destination(&[&server.url(""), &server.named_url("localhost", "")]),
            other_owner(&server),
        ])
        .await;
    let call = open(&gate, OWNER);
    let text = call.placeholder("key").await.unwrap();
    let header = |url: &str, value: &str| OutgoingRequest {
        headers: vec![("X-Key".into(), value.to_owned())],
        ..get(url)
    };
    let url = server.url("/");
    let guessed = format!("{{{{egression:key:{}}}}}", "0".repeat(32));
    for request in [
        header(&url, &guessed),
        header(&url, "{{egression:key"),
        header(&url, "{{egression:other:00}}"),
        header(&server.named_url("localhost", "/"), &text),
        get(&server.url(&format!("/{text}"))),
        get(&server.url(&format!("/?{text}=1"))),
        OutgoingRequest {
            body_placeholders: BodyPlaceholders::Json,
            ..post(&url, &format!("{{\"{text}\":1}}"))
        },
        OutgoingRequest {
            body_placeholders: BodyPlaceholders::Json,
            ..post(&url, &format!("not json {text}"))
        },
    ] {
        let result = call.send(request.clone()).await;
        assert!(
            matches!(result, Err(SendError::Denied(_))),
            "{request:?}: {result:?}"
        );
    }
    // Another owner's placeholder is nothing to this one.
    let result = open(&gate, OTHER).send(header(&url, &text)).await;
    assert!(matches!(result, Err(SendError::Denied(_))), "{result:?}");
    assert_eq!(server.hits(), 0);
    // The older placeholder stands for the newer secret: calls that began before a renewal
    // continue.
    call.deposit("key", SecretString::from("newer-secret"), None)
        .await
        .unwrap();
    call.send(header(&url, &text)).await.unwrap();
    assert_eq!(server.seen()[0].header("x-key"), Some("newer-secret"));
    assert!(matches!(
        call.placeholder("absent").await,
        Err(CredentialError::Missing(_))
    ));
    assert!(matches!(
        call.placeholder("oauth2:access_token").await,
        Err(CredentialError::Invalid(_))
    ));
}

fn other_owner(server: &Server) -> Destination {
    Destination {
        owner: OTHER,
        own_key: LimitKey::new(OTHER.to_string()),
        ..destination(&[&server.url("")])
    }
}

#[tokio::test]
async fn deposited_secret_goes_to_all_granted_hosts() {
    let house = House::new().await;
    let server = Server::start(&house.clock, echo).await;
    let call = house
        .call(destination(&[
            &server.url(""),
            &server.named_url("localhost", ""),
        ]))
        .await;
    call.deposit(
        "session",
        SecretString::from("handed-out"),
        Some(house.clock.wall().plus_ms(60_000)),
    )
    .await
    .unwrap();
    let text = call.placeholder("session").await.unwrap();
    for url in [server.url("/"), server.named_url("localhost", "/")] {
        let request = OutgoingRequest {
            headers: vec![("X-Key".into(), text.clone())],
            ..get(&url)
        };
        call.send(request).await.unwrap();
    }
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("x-key") == Some("handed-out"))
    );
    call.deposit(
        "session",
        SecretString::from("stale-stale"),
        Some(house.clock.wall()),
    )
    .await
    .unwrap();
    assert!(matches!(
        call.placeholder("session").await,
        Err(CredentialError::Missing(_))
    ));
}

#[tokio::test]
async fn signature_uses_secrets_that_the_guest_does_not_have() {
    let house = House::new().await;
    house.keep("key", "Jefe", &["127.0.0.1"]).await;
    let call = house.call(destination(&[])).await;
    let request = SignRequest {
        algorithm: Algorithm::HmacSha256,
        key: call.placeholder("key").await.unwrap(),
        data: "what do ya want for nothing?".to_owned(),
        encoding: Encoding::Hex,
        attrs: Vec::new(),
    };
    // RFC 4231, 4.3.
    assert_eq!(
        call.sign(request.clone()).await.unwrap(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    let guessed = SignRequest {
        key: "{{egression:key:00}}".to_owned(),
        ..request
    };
    assert!(matches!(
        call.sign(guessed).await,
        Err(CredentialError::Invalid(_))
    ));
}

#[tokio::test]
async fn bearer_token_is_attached_only_for_its_hosts() {
    let house = House::new().await;
    let server = Server::start(&house.clock, echo).await;
    let auth = json!({"scheme": "bearer", "token": {"env": "UNUSED"}});
    let owner = with_auth(
        destination(&[&server.url(""), &server.named_url("localhost", "")]),
        auth,
    );
    let call = house.call(owner.clone()).await;
    let result = call.send(get(&server.url("/"))).await;
    assert!(
        matches!(result, Err(SendError::CredentialRefused(_))),
        "{result:?}"
    );

    house.keep("token", "tok-123456", &[&server.url("")]).await;
    let call = house.call(owner).await;
    let answer = call.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Bearer tok-123456")
    );
    assert!(!String::from_utf8_lossy(&answer.body).contains("tok-123456"));
    call.send(OutgoingRequest {
        auth: RequestAuth::None,
        ..get(&server.named_url("localhost", "/"))
    })
    .await
    .unwrap();
    assert_eq!(server.seen()[1].header("authorization"), None);
    let elsewhere = call.send(get(&server.named_url("localhost", "/"))).await;
    assert!(
        matches!(elsewhere, Err(SendError::Denied(_))),
        "{elsewhere:?}"
    );
    let doubled = OutgoingRequest {
        headers: vec![("Authorization".into(), "x".into())],
        ..get(&server.url("/"))
    };
    assert!(matches!(
        call.send(doubled).await,
        Err(SendError::Denied(_))
    ));
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn secret_of_an_earlier_call_is_redacted_in_a_later_one() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| {
        Reply::ok(&format!("{{\"api_key\": {}}}", json!(SECRET)))
    })
    .await;
    house.keep("key", SECRET, &["127.0.0.1"]).await;
    let gate = house.gate(vec![destination(&[&server.url("")])]).await;
    // The first after the start, when the secret is not in memory yet, and one when it is.
    for _ in 0..2 {
        let call = open(&gate, OWNER);
        let answer = call.send(get(&server.url("/account"))).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer.body),
            "{\"api_key\": \"***\"}"
        );
    }
    assert_eq!(
        open(&gate, OWNER).redact(&format!("it is {SECRET}")),
        "it is ***",
        "before anything is sent"
    );
}

#[tokio::test]
async fn renewed_secret_keeps_the_hosts_of_the_entered_one() {
    let house = House::new().await;
    let vault = house.vault();
    let entered = ["https://shop.example".to_owned()];
    vault
        .enter(
            OWNER,
            "refresh_token",
            SecretString::from("entered"),
            &entered,
        )
        .await
        .unwrap();
    let auth = json!({"scheme": "connector", "secrets": {"refresh_token": {"env": "R"}}});
    let call = house
        .call(with_auth(destination(&["https://*.shop.example"]), auth))
        .await;
    call.deposit("refresh_token", SecretString::from("rotated-one"), None)
        .await
        .unwrap();
    call.deposit("session", SecretString::from("handed-out"), None)
        .await
        .unwrap();

    let vault = house.vault();
    assert_eq!(
        vault
            .get(OWNER, "refresh_token")
            .await
            .unwrap()
            .unwrap()
            .bound_hosts,
        entered
    );
    assert_eq!(
        vault
            .get(OWNER, "session")
            .await
            .unwrap()
            .unwrap()
            .bound_hosts,
        ["https://*.shop.example"]
    );
    // What the document says at the next start was entered before.
    assert!(
        !vault
            .enter(
                OWNER,
                "refresh_token",
                SecretString::from("entered"),
                &entered
            )
            .await
            .unwrap()
    );
    assert_eq!(
        vault
            .get(OWNER, "refresh_token")
            .await
            .unwrap()
            .unwrap()
            .value
            .expose_secret(),
        "rotated-one"
    );
}
