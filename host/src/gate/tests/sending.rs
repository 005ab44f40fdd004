//! Answers, errors, and what they prove.

use super::names::{Has, Names};
use super::server::{Reply, Server};
use super::*;
use crate::gate::exchange::SendError;

#[tokio::test]
async fn response_is_returned_unchanged() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |seen| {
        Reply::Answer(
            422,
            vec![("X-Id".into(), "a1".into())],
            seen.body.clone().into_bytes(),
        )
    })
    .await;
    let call = house.call(destination(&[&server.url("")])).await;
    let mut request = post(&server.url("/orders?dry=1"), "{\"n\":1.10}");
    request.headers = vec![
        ("Content-Type".into(), "application/json".into()),
        ("X-Twice".into(), "1".into()),
        ("X-Twice".into(), "2".into()),
    ];
    let answer = call.send(request).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_ref(), answer.truncated),
        (422, &b"{\"n\":1.10}"[..], false)
    );
    assert!(
        answer
            .headers
            .contains(&("x-id".to_owned(), "a1".to_owned()))
    );
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /orders?dry=1 HTTP/1.1");
    assert_eq!(
        seen.headers.iter().filter(|(n, _)| n == "x-twice").count(),
        2
    );
    assert_eq!(seen.header("accept-encoding"), None);
    let exchange = &call.exchanges()[0];
    assert_eq!(
        (exchange.status, exchange.write, exchange.error.as_deref()),
        (Some(422), true, None)
    );
    let evidence = call.evidence();
    assert!(evidence.write_left && evidence.anything_left && !evidence.answer_lost);
}

#[tokio::test]
async fn redirect_is_returned_not_followed() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| {
        Reply::Answer(
            302,
            vec![("location".into(), "http://169.254.169.254/".into())],
            Vec::new(),
        )
    })
    .await;
    let call = house.call(destination(&[&server.url("")])).await;
    let answer = call.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(answer.status, 302);
    assert!(
        answer
            .headers
            .contains(&("location".to_owned(), "http://169.254.169.254/".to_owned()))
    );
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn refused_connection_and_unknown_name_were_never_sent() {
    let mut house = House::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let names = Names::start(Has::Silence).await;
    house.settings.nameservers = vec![names.at];
    let call = house
        .call(destination(&[
            &format!("http://{closed}"),
            "http://shop.example",
        ]))
        .await;
    let result = call.send(post(&format!("http://{closed}/"), "x")).await;
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    // The request's time is up while the name is looked up.
    let request = OutgoingRequest {
        timeout_ms: Some(50),
        ..post("http://shop.example/", "x")
    };
    let result = call.send(request).await;
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    let evidence = call.evidence();
    assert!(!evidence.anything_left && !evidence.write_left && !evidence.answer_lost);
}

#[tokio::test]
async fn incomplete_response_counts_as_sent() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |seen| match seen.line.split(' ').nth(1) {
        Some("/close") => Reply::Close,
        Some("/half") => Reply::Half,
        _ => Reply::Silence,
    })
    .await;
    for path in ["/close", "/half", "/silence"] {
        let call = house.call(destination(&[&server.url("")])).await;
        let mut request = post(&server.url(path), "x");
        request.timeout_ms = (path == "/silence").then_some(300);
        let result = call.send(request).await;
        assert!(
            matches!(result, Err(SendError::SentWithoutAnswer(_))),
            "{path}: {result:?}"
        );
        let evidence = call.evidence();
        assert!(evidence.write_left && evidence.answer_lost, "{path}");
    }
    let call = house.call(destination(&[&server.url("")])).await;
    call.send(get(&server.url("/close"))).await.unwrap_err();
    let evidence = call.evidence();
    assert!(evidence.anything_left && !evidence.write_left && !evidence.answer_lost);
    // Nothing was repeated.
    assert_eq!(server.hits(), 4);
}

#[tokio::test]
async fn bodies_and_time_are_bounded() {
    let mut house = House::new().await;
    house.settings.max_request_bytes = 10;
    house.settings.max_response_bytes = 100;
    let server = Server::start(&house.clock, |_| Reply::ok(&"a".repeat(5000))).await;
    let gate = house.gate(vec![destination(&[&server.url("")])]).await;
    let call = open(&gate, OWNER);
    let result = call.send(post(&server.url("/"), "12345678901")).await;
    assert!(
        matches!(&result, Err(SendError::Denied(why)) if why.contains("max_request_bytes")),
        "{result:?}"
    );
    let answer = call.send(get(&server.url("/"))).await.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (100, true));
    let asked = OutgoingRequest {
        max_response_bytes: Some(7),
        ..get(&server.url("/"))
    };
    assert_eq!(call.send(asked).await.unwrap().body.len(), 7);
    let late = gate.open_call(gate.destination(OWNER).unwrap(), 2, house.clock.mono(), 1);
    let result = late.send(get(&server.url("/"))).await;
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn headers_of_the_host_are_denied() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let call = house.call(destination(&[&server.url("")])).await;
    for (name, value) in [
        ("Host", "evil.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("X-Split", "a\r\nHost: b"),
    ] {
        let request = OutgoingRequest {
            headers: vec![(name.into(), value.into())],
            ..get(&server.url("/"))
        };
        let result = call.send(request).await;
        assert!(
            matches!(result, Err(SendError::Denied(_))),
            "{name}: {result:?}"
        );
    }
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn send_all_bounds_concurrency_and_keeps_the_order() {
    let mut house = House::new().await;
    house.settings.send_all_concurrency = 3;
    let server = Server::start(&house.clock, |seen| Reply::ok(&seen.line)).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let answers = call
        .send_all(
            (0..30)
                .map(|i| get(&server.url(&format!("/{i}"))))
                .collect(),
        )
        .await;
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().body, format!("GET /{i} HTTP/1.1"));
    }
    assert!(server.seen().iter().all(|seen| seen.under_way <= 3));
}

#[tokio::test]
async fn shutdown_asks_calls_to_end_early() {
    let house = House::new().await;
    let gate = house.gate(vec![destination(&[])]).await;
    let call = open(&gate, OWNER);
    assert!(!call.is_nearly_over());
    gate.ask_to_stop();
    assert!(call.is_nearly_over() && open(&gate, OWNER).is_nearly_over());
}

#[tokio::test]
async fn last_tenth_of_a_call_is_nearly_over() {
    let house = House::new().await;
    let gate = house.gate(vec![destination(&[])]).await;
    assert!(!open(&gate, OWNER).is_nearly_over());
    let deadline = gate.context.clock.mono().plus_ms(1);
    let short = gate.open_call(gate.destination(OWNER).unwrap(), 1, deadline, 1);
    while gate.context.clock.mono() < deadline {
        tokio::task::yield_now().await;
    }
    assert!(short.is_nearly_over());
}
