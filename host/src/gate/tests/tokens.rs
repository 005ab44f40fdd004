//! Tokens that the host fetches.

use std::sync::Mutex;

use serde_json::json;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::gate::exchange::SendError;

/// Which tokens the destination takes, and how its token endpoint answers.
#[derive(Clone)]
struct Realm {
    issued: Arc<Mutex<u32>>,
    refused: Arc<Mutex<Vec<String>>>,
    endpoint: Arc<Mutex<Option<(u16, &'static str)>>>,
}

impl Realm {
    fn new() -> Self {
        Self {
            issued: Arc::default(),
            refused: Arc::default(),
            endpoint: Arc::default(),
        }
    }

    fn answer(&self, seen: &Seen) -> Reply {
        if seen.line.starts_with("POST /oauth/token") {
            if let Some((status, body)) = *self.endpoint.lock().unwrap() {
                return Reply::status(status, body);
            }
            let mut issued = self.issued.lock().unwrap();
            *issued += 1;
            return Reply::ok(
                &json!({"access_token": format!("fetched-{issued}"), "token_type": "Bearer",
                    "expires_in": 3600})
                .to_string(),
            );
        }
        let token = seen
            .header("authorization")
            .unwrap_or_default()
            .trim_start_matches("Bearer ")
            .to_owned();
        let known = token.starts_with("fetched-") && !self.refused.lock().unwrap().contains(&token);
        if known {
            Reply::ok(&format!("hello {token}"))
        } else {
            Reply::status(401, "no")
        }
    }

    fn refuse(&self, token: &str) {
        self.refused.lock().unwrap().push(token.to_owned());
    }
}

async fn start(house: &House, realm: &Realm) -> (Server, Destination) {
    let answering = realm.clone();
    let server = Server::start(&house.clock, move |seen| answering.answer(seen)).await;
    house
        .keep("client_secret", "cl/ient secret", &["127.0.0.1"])
        .await;
    let auth = json!({"scheme": "oauth2_client_credentials",
        "token_url": server.url("/oauth/token"), "client_id": "me",
            "client_secret": {"env": "UNUSED"}, "scope": "a b"});
    let owner = with_auth(destination(&[&server.url("")]), auth);
    (server, owner)
}

fn fetches(server: &Server) -> usize {
    server
        .seen()
        .iter()
        .filter(|seen| seen.line.contains("/oauth/token"))
        .count()
}

#[tokio::test]
async fn token_fetch_serves_all_requests_and_survives_a_restart() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let call = house.call(owner.clone()).await;
    let answers = call
        .send_all((0..16).map(|_| get(&server.url("/"))).collect())
        .await;
    for answer in answers {
        let answer = answer.unwrap();
        // The token comes back masked.
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (200, &b"hello ***"[..])
        );
    }
    assert_eq!(fetches(&server), 1);
    let fetch = &server.seen()[0];
    assert_eq!(fetch.body, "grant_type=client_credentials&scope=a%20b");
    // me:cl%2Fient%20secret (RFC 6749, 2.3.1 and appendix B)
    assert_eq!(
        fetch.header("authorization"),
        Some("Basic bWU6Y2wlMkZpZW50JTIwc2VjcmV0")
    );
    let exchanges = call.exchanges();
    assert_eq!(exchanges.len(), 17);
    assert!(
        exchanges
            .iter()
            .any(|e| e.url.ends_with("/oauth/token") && e.status == Some(200) && !e.write)
    );

    let again = house.call(owner).await;
    assert_eq!(again.send(get(&server.url("/"))).await.unwrap().status, 200);
    assert_eq!(fetches(&server), 1);
}

#[tokio::test]
async fn status_401_drops_only_the_generation_that_it_answers() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let call = house.call(owner).await;
    call.send(get(&server.url("/"))).await.unwrap();
    realm.refuse("fetched-1");
    let answers = call
        .send_all((0..8).map(|_| get(&server.url("/"))).collect())
        .await;
    let statuses: Vec<u16> = answers.into_iter().map(|a| a.unwrap().status).collect();
    assert!(statuses.contains(&401), "{statuses:?}");
    assert_eq!(call.send(get(&server.url("/"))).await.unwrap().status, 200);
    // However many answers said 401 to the first token, there is one fetch for the second.
    assert_eq!(fetches(&server), 2);
    // A late 401 to the first generation does not touch the second.
    let gate = house.gate(vec![(**call.destination()).clone()]).await;
    let kept = house
        .vault()
        .get(OWNER, ACCESS_TOKEN)
        .await
        .unwrap()
        .unwrap();
    gate.context
        .tokens
        .refused(
            &gate.context.vault,
            OWNER,
            kept.generation - 1,
            house.clock.mono(),
        )
        .await;
    assert_eq!(
        open(&gate, OWNER)
            .send(get(&server.url("/")))
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(fetches(&server), 2);
}

#[tokio::test]
async fn refused_fresh_token_delays_the_next_fetch() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let call = house.call(owner).await;
    realm.refuse("fetched-1");
    assert_eq!(call.send(get(&server.url("/"))).await.unwrap().status, 401);
    let result = call.send(get(&server.url("/"))).await;
    assert!(
        matches!(result, Err(SendError::Limited { .. })),
        "{result:?}"
    );
    assert_eq!(fetches(&server), 1);
}

#[tokio::test]
async fn token_endpoint_refusal_is_permanent_or_retryable() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let call = house.call(owner).await;
    for (status, body, refused) in [
        (400, "{\"error\":\"invalid_client\"}", true),
        (401, "nope", true),
        (400, "{\"error\":\"invalid_grant\"}", true),
        (503, "later", false),
        (200, "{}", false),
        (400, "{\"error\":\"temporarily_unavailable\"}", false),
    ] {
        *realm.endpoint.lock().unwrap() = Some((status, body));
        let result = call.send(post(&server.url("/"), "x")).await;
        let fits = if refused {
            matches!(result, Err(SendError::CredentialRefused(_)))
        } else {
            matches!(result, Err(SendError::NeverSent(_)))
        };
        assert!(fits, "{status} {body}: {result:?}");
    }
    assert!(!call.evidence().write_left);
    *realm.endpoint.lock().unwrap() = None;
    assert_eq!(
        call.send(post(&server.url("/"), "x")).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn token_fetch_counts_against_the_limits() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let call = house
        .call(limited(
            owner,
            &[LimitKind::Window {
                max: 2,
                window_ms: 3_600_000,
            }],
        ))
        .await;
    call.send(get(&server.url("/"))).await.unwrap();
    assert!(matches!(
        call.send(get(&server.url("/"))).await,
        Err(SendError::Limited { .. })
    ));
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn token_endpoint_on_a_private_address_is_denied() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, mut owner) = start(&house, &realm).await;
    owner.allow_addresses.clear();
    owner.grants = vec!["https://shop.example".parse().unwrap()];
    let result = house
        .call(owner)
        .await
        .send(get("https://shop.example/"))
        .await;
    assert!(matches!(result, Err(SendError::Denied(_))), "{result:?}");
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn client_secret_goes_only_to_its_endpoint() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    house
        .keep("client_secret", "another secret", &["https://shop.example"])
        .await;
    let result = house.call(owner).await.send(get(&server.url("/"))).await;
    assert!(
        matches!(result, Err(SendError::CredentialRefused(_))),
        "{result:?}"
    );
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn token_is_refetched_when_its_origin_changes() {
    let (house, realm) = (House::new().await, Realm::new());
    let (server, owner) = start(&house, &realm).await;
    let auth = |client: &str, scope: &str, path: &str| {
        json!({"scheme": "oauth2_client_credentials", "token_url": server.url(path),
            "client_id": client, "client_secret": {"env": "UNUSED"}, "scope": scope})
    };
    let documents = [
        auth("me", "a b", "/oauth/token"),
        auth("you", "a b", "/oauth/token"),
        auth("you", "a", "/oauth/token"),
        auth("you", "a", "/oauth/token/other"),
    ];
    // Each in a running gate, and each in one that is started on the rows of the last.
    let gate = house.gate(vec![owner.clone()]).await;
    for (fetched, document) in documents.iter().enumerate() {
        gate.configure(vec![with_auth(owner.clone(), document.clone())]);
        for _ in 0..2 {
            assert_eq!(
                open(&gate, OWNER)
                    .send(get(&server.url("/")))
                    .await
                    .unwrap()
                    .status,
                200
            );
            assert_eq!(fetches(&server), fetched + 1, "{document}");
        }
    }
    for (fetched, document) in documents.iter().enumerate() {
        for _ in 0..2 {
            let call = house.call(with_auth(owner.clone(), document.clone())).await;
            assert_eq!(call.send(get(&server.url("/"))).await.unwrap().status, 200);
            assert_eq!(
                fetches(&server),
                documents.len() + fetched + 1,
                "{document}"
            );
        }
    }
    house.keep("client_secret", "renewed", &["127.0.0.1"]).await;
    let call = house.call(with_auth(owner, documents[3].clone())).await;
    assert_eq!(call.send(get(&server.url("/"))).await.unwrap().status, 200);
    assert_eq!(
        fetches(&server),
        2 * documents.len() + 1,
        "another secret, over a restart"
    );
}
