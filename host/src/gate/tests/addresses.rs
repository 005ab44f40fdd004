//! Addresses that the gate may dial.

use std::net::Ipv4Addr;

use super::names::{Has, Names};
use super::server::{Reply, Server};
use super::*;
use crate::gate::exchange::SendError;

fn is_denied<T: std::fmt::Debug>(result: &Result<T, SendError>) -> bool {
    matches!(result, Err(SendError::Denied(_)))
}

#[tokio::test]
async fn request_without_a_grant_is_denied_unsent() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let call = house.call(destination(&["http://localhost"])).await;
    for url in [
        server.url("/"),
        "https://localhost/".to_owned(),
        "http://other.example/".to_owned(),
        "gopher://localhost/".to_owned(),
    ] {
        let result = call.send(get(&url)).await;
        assert!(is_denied(&result), "{url}: {result:?}");
    }
    assert_eq!(server.hits(), 0);
    assert_eq!(
        call.evidence(),
        egression_core::domain::outcome::Evidence::default()
    );
    assert_eq!(call.exchanges().len(), 4);
    assert!(
        call.exchanges()
            .iter()
            .all(|e| e.error.is_some() && e.status.is_none())
    );
}

#[tokio::test]
async fn private_address_is_denied_in_every_notation() {
    let house = House::new().await;
    // On the discard port, where a mistake meets nobody.
    let hosts = [
        "http://169.254.169.254:9",
        "http://10.0.0.1:9",
        "http://2130706434:9",
        "http://0x7f000002:9",
        "http://127.2:9",
        "http://0177.0.0.2:9",
        "http://[::1]:9",
        "http://[::ffff:127.0.0.2]:9",
        "http://[fd00:ec2::254]:9",
        "http://[64:ff9b::a00:1]:9",
        "http://0.0.0.0:9",
    ];
    let call = house.call(destination(&hosts)).await;
    for host in hosts {
        let result = call.send(get(&format!("{host}/latest/meta-data"))).await;
        assert!(is_denied(&result), "{host}: {result:?}");
    }
}

#[tokio::test]
async fn address_is_checked_at_each_dial() {
    let mut house = House::new().await;
    let server = Server::start(&house.clock, |_| {
        Reply::Answer(
            200,
            vec![("connection".into(), "close".into())],
            b"hello".to_vec(),
        )
    })
    .await;
    let names = Names::start(Has::Addresses(vec![Ipv4Addr::LOCALHOST])).await;
    house.settings.nameservers = vec![names.at];
    let url = server.named_url("shop.example", "/");
    let call = house
        .call(destination(&[&server.named_url("shop.example", "")]))
        .await;
    assert_eq!(call.send(get(&url)).await.unwrap().body.as_ref(), b"hello");

    for address in [[10, 0, 0, 1], [169, 254, 169, 254], [127, 0, 0, 2]] {
        names.set(Has::Addresses(vec![address.into()]));
        let result = call.send(get(&url)).await;
        assert!(is_denied(&result), "{address:?}: {result:?}");
    }
    // Of several addresses, the gate dials the allowed ones.
    names.set(Has::Addresses(vec![
        [10, 0, 0, 1].into(),
        Ipv4Addr::LOCALHOST,
    ]));
    assert_eq!(call.send(get(&url)).await.unwrap().status, 200);
    names.set(Has::NoName);
    let result = call.send(post(&url, "x")).await;
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    assert_eq!(server.hits(), 2);
    assert!(!call.evidence().write_left);
}

#[tokio::test]
async fn kept_connection_serves_only_owners_that_may_open_it() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("inside")).await;
    let grant = server.named_url("localhost", "");
    let outsider = Destination {
        owner: OTHER,
        allow_addresses: Vec::new(),
        own_key: LimitKey::new(OTHER.to_string()),
        ..destination(&[&grant])
    };
    let gate = house.gate(vec![destination(&[&grant]), outsider]).await;
    let url = server.named_url("localhost", "/");
    assert_eq!(
        open(&gate, OWNER)
            .send(get(&url))
            .await
            .unwrap()
            .body
            .as_ref(),
        b"inside"
    );
    let result = open(&gate, OTHER).send(get(&url)).await;
    assert!(is_denied(&result), "{result:?}");
    assert_eq!(server.hits(), 1);
}
