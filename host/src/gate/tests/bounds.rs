//! Guests that ask for too much: denied by name of the bound, and nothing of it is sent, kept or
//! built.

use serde_json::json;

use super::server::{Reply, Server};
use super::*;
use crate::gate::exchange::{ExchangeEnd, SendError};
use crate::vault::VaultError;

fn denied_for(result: &Result<crate::gate::exchange::Response, SendError>, setting: &str) {
    assert!(
        matches!(result, Err(SendError::Denied(why)) if why.contains(setting)),
        "{setting}: {result:?}"
    );
}

fn refused_for(result: &Result<impl std::fmt::Debug, CredentialError>, why: &str) {
    assert!(
        matches!(result, Err(CredentialError::Invalid(text)) if text.contains(why)),
        "{why}: {result:?}"
    );
}

#[tokio::test]
async fn body_with_secrets_stays_within_the_request_bound() {
    let mut house = House::new().await;
    house.settings.max_request_bytes = 64 * 1024;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    house.keep("key", &"s".repeat(30_000), &["127.0.0.1"]).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let text = call.placeholder("key").await.unwrap();
    let json = |count: usize| {
        let body = serde_json::to_string(&vec![text.as_str(); count]).unwrap();
        OutgoingRequest {
            body_placeholders: BodyPlaceholders::Json,
            ..post(&server.url("/"), &body)
        }
    };
    let form = |count: usize| {
        let body = vec![format!("a={text}"); count].join("&");
        OutgoingRequest {
            body_placeholders: BodyPlaceholders::Form,
            ..post(&server.url("/"), &body)
        }
    };
    for request in [json(2), form(2)] {
        call.send(request).await.unwrap();
    }
    // Nine hundred of them are within the bound before they are filled, and twenty-seven million
    // bytes behind it.
    for request in [json(3), json(900), form(3), form(900)] {
        denied_for(&call.send(request).await, "gate.max_request_bytes");
    }
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn substituted_secret_is_not_searched_for_placeholders() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    house.keep("inner", "innermost", &["127.0.0.1"]).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let inner = call.placeholder("inner").await.unwrap();
    call.deposit("outer", SecretString::from(format!("<{inner}>")), None)
        .await
        .unwrap();
    let outer = call.placeholder("outer").await.unwrap();
    let headers = vec![("X-Key".to_owned(), format!("{outer}{inner}"))];
    call.send(OutgoingRequest {
        headers,
        ..get(&server.url("/"))
    })
    .await
    .unwrap();
    assert_eq!(
        server.seen()[0].header("x-key"),
        Some(format!("<{inner}>innermost").as_str())
    );
}

#[tokio::test]
async fn headers_with_secrets_are_bounded_in_number_and_bytes() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    house.keep("key", &"s".repeat(20_000), &["127.0.0.1"]).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let text = call.placeholder("key").await.unwrap();
    let with = |headers: Vec<(String, String)>| OutgoingRequest {
        headers,
        ..get(&server.url("/"))
    };
    let many = |count: usize| {
        with(
            (0..count)
                .map(|i| (format!("x-{i}"), String::new()))
                .collect(),
        )
    };
    for count in [257, 30_000] {
        denied_for(&call.send(many(count)).await, "gate.max_request_headers`");
    }
    denied_for(
        &call
            .send(with(vec![("x".to_owned(), "v".repeat(70_000))]))
            .await,
        "gate.max_request_headers_bytes",
    );
    denied_for(
        &call
            .send(with(vec![("x".to_owned(), text.repeat(4))]))
            .await,
        "gate.max_request_headers_bytes",
    );
    denied_for(
        &call
            .send(get(&server.url(&format!("/?a={}", text.repeat(4)))))
            .await,
        "gate.max_request_headers_bytes",
    );
    denied_for(
        &call
            .send(get(&server.url(&format!("/{}", "a".repeat(70_000)))))
            .await,
        "gate.max_request_headers_bytes",
    );
    let method = OutgoingRequest {
        method: "X".repeat(70_000),
        ..get(&server.url("/"))
    };
    denied_for(&call.send(method).await, "gate.max_request_headers_bytes");
    assert_eq!(server.hits(), 0);
    assert!(
        call.exchanges()
            .iter()
            .all(|exchange| exchange.method.len() <= 16 && exchange.url.len() <= 2048)
    );
    call.send(many(256)).await.unwrap();
}

#[tokio::test]
async fn placeholders_of_a_request_are_bounded() {
    let mut house = House::new().await;
    house.settings.max_placeholders = 2;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let mut texts = Vec::new();
    for name in ["a", "b", "c"] {
        house.keep(name, "value", &["127.0.0.1"]).await;
    }
    let call = house.call(destination(&[&server.url("")])).await;
    for name in ["a", "b", "c"] {
        texts.push(call.placeholder(name).await.unwrap());
    }
    let with = |value: String| OutgoingRequest {
        headers: vec![("X-Key".to_owned(), value)],
        ..get(&server.url("/"))
    };
    denied_for(
        &call.send(with(texts.concat())).await,
        "gate.max_placeholders",
    );
    call.send(with(texts[..2].concat().repeat(20)))
        .await
        .unwrap();
    let request = SignRequest {
        algorithm: Algorithm::HmacSha256,
        key: texts[0].clone(),
        data: texts.concat(),
        encoding: Encoding::Hex,
        attrs: Vec::new(),
    };
    refused_for(&call.sign(request).await, "gate.max_placeholders");
}

#[tokio::test]
async fn signed_text_is_bounded_before_and_after_substitution() {
    let mut house = House::new().await;
    house.settings.max_sign_bytes = 1024 * 1024;
    house.keep("key", &"s".repeat(60_000), &["127.0.0.1"]).await;
    let call = house.call(destination(&[])).await;
    let text = call.placeholder("key").await.unwrap();
    let sign = |key: String, data: String| SignRequest {
        algorithm: Algorithm::HmacSha256,
        key,
        data,
        encoding: Encoding::Hex,
        attrs: Vec::new(),
    };
    call.sign(sign(text.clone(), "d".repeat(900_000)))
        .await
        .unwrap();
    for request in [
        sign(text.clone(), "d".repeat(1024 * 1024)),
        sign("k".repeat(1024 * 1024), "d".to_owned()),
        sign(text.repeat(20), "d".to_owned()),
        sign(text.clone(), text.repeat(20)),
    ] {
        refused_for(&call.sign(request).await, "gate.max_sign_bytes");
    }
}

#[tokio::test]
async fn deposits_are_bounded_in_size_per_call_and_per_owner() {
    let house = House::new().await;
    let gate = house.gate(vec![destination(&[])]).await;
    let call = open(&gate, OWNER);
    let value = |bytes: usize| SecretString::from("v".repeat(bytes));
    refused_for(
        &call.deposit("big", value(64 * 1024 + 1), None).await,
        "at most 65536 bytes",
    );
    for i in 0..16 {
        call.deposit(&format!("name-{i}"), value(100 + i), None)
            .await
            .unwrap();
    }
    refused_for(
        &call.deposit("one-more", value(9), None).await,
        "gate.max_deposits_per_call",
    );
    for i in 16..64 {
        house.keep(&format!("name-{i}"), "v", &[]).await;
    }
    let gate = house.gate(vec![destination(&[])]).await;
    let call = open(&gate, OWNER);
    refused_for(
        &call.deposit("one-more", value(9), None).await,
        "gate.max_secrets_per_connection",
    );
    call.deposit("name-3", value(9), None).await.unwrap();
    let one_more = SecretInput {
        max_secrets: Some(64),
        ..SecretInput::new(value(1), Vec::new())
    };
    assert!(matches!(
        house.vault().put(OWNER, "x", one_more).await,
        Err(VaultError::TooMany { most: 64 })
    ));
}

#[tokio::test]
async fn names_of_attached_secrets_are_reserved_for_the_host() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    for name in [BEARER_TOKEN, CLIENT_SECRET] {
        house.keep(name, "hunter2-hunter2", &["127.0.0.1"]).await;
    }
    let own = || destination(&[&server.url("")]);
    let theirs = house
        .call(with_auth(
            own(),
            json!({"scheme": "connector", "secrets": {}}),
        ))
        .await;
    let bearer = house
        .call(with_auth(
            own(),
            json!({"scheme": "bearer", "token": {"env": "UNUSED"}}),
        ))
        .await;
    let none = house.call(own()).await;
    for name in [BEARER_TOKEN, CLIENT_SECRET] {
        // A placeholder from a connector scheme has no value once the host attaches the credential.
        let text = theirs.placeholder(name).await.unwrap();
        for call in [&bearer, &none] {
            refused_for(&call.placeholder(name).await, "the host attaches it");
            refused_for(
                &call
                    .deposit(name, SecretString::from("mine-mine"), None)
                    .await,
                "the host attaches it",
            );
            let algorithm = Algorithm::HmacSha256;
            let sign = SignRequest {
                algorithm,
                key: text.clone(),
                data: "d".to_owned(),
                encoding: Encoding::Hex,
                attrs: Vec::new(),
            };
            refused_for(&call.sign(sign).await, "the host attaches it");
            let request = OutgoingRequest {
                headers: vec![("X-Key".to_owned(), text.clone())],
                ..get(&server.url("/"))
            };
            denied_for(
                &call
                    .send(OutgoingRequest {
                        auth: RequestAuth::None,
                        ..request
                    })
                    .await,
                "the host attaches it",
            );
        }
        theirs
            .deposit(name, SecretString::from("renewed-one"), None)
            .await
            .unwrap();
    }
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn send_all_bounds_requests_and_response_bytes() {
    let mut house = House::new().await;
    house.settings.send_all_requests = 5;
    house.settings.send_all_response_bytes = 2500;
    let server = Server::start(&house.clock, |_| {
        Reply::Answer(200, Vec::new(), vec![b'a'; 1000])
    })
    .await;
    let call = house.call(destination(&[&server.url("")])).await;
    let answers = call
        .send_all((0..2000).map(|_| get(&server.url("/"))).collect())
        .await;
    assert_eq!((answers.len(), server.hits()), (2000, 5));
    let sizes: Vec<_> = answers[..5]
        .iter()
        .map(|a| {
            a.as_ref()
                .map(|a| (a.status, a.body.len(), a.truncated))
                .unwrap()
        })
        .collect();
    assert_eq!(
        sizes,
        [
            (200, 1000, false),
            (200, 1000, false),
            (200, 0, true),
            (200, 0, true),
            (200, 0, true)
        ]
    );
    for answer in &answers[5..] {
        let Err(SendError::NeverSent(why)) = answer else {
            panic!("{answer:?}");
        };
        assert!(why.contains("gate.send_all_requests"), "{why}");
    }
}

#[tokio::test]
async fn request_with_a_secret_must_not_ask_for_a_range() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    for name in ["key", BEARER_TOKEN] {
        house.keep(name, "hunter2-hunter2", &["127.0.0.1"]).await;
    }
    let owner = with_auth(
        destination(&[&server.url("")]),
        json!({"scheme": "bearer", "token": {"env": "UNUSED"}}),
    );
    let call = house.call(owner).await;
    let text = call.placeholder("key").await.unwrap();
    let ranged = |auth, more: Option<String>| {
        let headers = [
            Some("bytes=0-9".to_owned()).map(|v| ("Range".to_owned(), v)),
            more.map(|v| ("X-Key".to_owned(), v)),
        ];
        OutgoingRequest {
            auth,
            headers: headers.into_iter().flatten().collect(),
            ..get(&server.url("/"))
        }
    };
    denied_for(
        &call.send(ranged(RequestAuth::Connection, None)).await,
        "`range`",
    );
    denied_for(
        &call.send(ranged(RequestAuth::None, Some(text))).await,
        "`range`",
    );
    assert_eq!(server.hits(), 0);
    call.send(ranged(RequestAuth::None, None)).await.unwrap();
}

#[test]
fn aborted_request_was_never_sent() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (stores, gates) = (runtime(), runtime());
    let house = stores.block_on(House::new());
    let gate = gates.block_on(house.gate(vec![destination(&["http://127.0.0.1:9"])]));
    let call = open(&gate, OWNER);
    gates.shutdown_background();
    let result = runtime().block_on(call.send(post("http://127.0.0.1:9/x", "body")));
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    let exchanges = call.exchanges();
    assert_eq!(
        (exchanges.len(), exchanges[0].end, exchanges[0].write),
        (1, ExchangeEnd::NeverSent, true)
    );
    assert!(!call.evidence().anything_left);
}
