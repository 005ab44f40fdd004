//! Credentials, sessions, parked connections, and destination outages.

use std::time::Duration;

use anyhow::Result;
use egression_sandbox::{Faults, Scenario, ScenarioChange, Shop};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    CHANNEL, FAST_RETRY, Harness, PATIENCE, Setup, TENANT, category, category_job, instant, waiting,
};

/// A second channel to the same shop. The test writes its connection.
async fn with_own_connection(secret: &str) -> Harness {
    let more = format!("[[channels]]\nname = \"own\"\nconnector = \"sandbox\"\n{FAST_RETRY}");
    // Probes are rare, so that the new document frees the connection.
    let server = "[server.dispatch]\nprobe_min_ms = 600000\nprobe_max_ms = 600000\n".to_owned();
    let harness = Setup {
        more,
        server,
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    put_connection(&harness, client_credentials(&harness, secret))
        .await
        .unwrap();
    harness
}

fn client_credentials(harness: &Harness, secret: &str) -> Value {
    let token_url = format!("http://{}/oauth/token", harness.shop.addr());
    json!({
        "scheme": "oauth2_client_credentials", "token_url": token_url,
        "client_id": "sandbox", "client_secret": {"value": secret},
    })
}

async fn put_connection(harness: &Harness, auth: Value) -> Result<()> {
    let shop = format!("http://{}", harness.shop.addr());
    let document = json!({
        "subscription": TENANT, "channel": "own", "settings": {"base_url": shop},
        "allow_addresses": ["127.0.0.1/32"], "auth": auth,
    });
    let answer = harness
        .rest
        .request(
            Method::PUT,
            &format!("/v1/channels/own/connections/{TENANT}"),
        )
        .json(&document)
        .send()
        .await?;
    anyhow::ensure!(
        answer.status().is_success(),
        "connection refused: {}",
        answer.text().await?
    );
    Ok(())
}

/// The connection, as soon as its status is parked. The status follows the jobs.
async fn until_parked(harness: &Harness) -> Result<Value> {
    let looking = async {
        loop {
            let connection: Value = harness
                .rest
                .get(&format!("/v1/channels/own/connections/{TENANT}"))
                .await?;
            if connection["status"]["state"] == "parked" {
                return anyhow::Ok(connection);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credential_parks_until_corrected() {
    let harness = with_own_connection("wrong").await;
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = harness.submit(job).await.unwrap();
    let waits = harness.until_waits(&execution, "parked").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    assert!(
        waits["waiting"]["key"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{waits}"
    );
    let connection = until_parked(&harness).await.unwrap();
    assert!(
        connection["status"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{connection}"
    );
    assert!(
        !connection.to_string().contains("wrong"),
        "the secret is hidden"
    );
    put_connection(&harness, client_credentials(&harness, "sandbox-secret"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(harness.only_job(&execution).await.unwrap()["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_token_parks_the_connection() {
    let harness = with_own_connection("sandbox-secret").await;
    put_connection(
        &harness,
        json!({"scheme": "bearer", "token": {"value": "expired-long-ago"}}),
    )
    .await
    .unwrap();
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = harness.submit(job).await.unwrap();
    let waits = harness.until_waits(&execution, "parked").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    until_parked(&harness).await.unwrap();
    let refused = harness
        .shop
        .report()
        .by_status
        .get(&401)
        .copied()
        .unwrap_or_default();
    assert!(
        (1..=3).contains(&refused),
        "an entered token cannot be renewed, so retries are few: {refused} calls"
    );
    put_connection(&harness, client_credentials(&harness, "sandbox-secret"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_connection_recovers_with_the_destination() {
    let harness = Setup::default().start().await.unwrap();
    let credentials = |secret: &str| egression_sandbox::Credentials {
        client_secret: secret.to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    let change = |secret: &str| ScenarioChange {
        credentials: Some(credentials(secret)),
        ..ScenarioChange::default()
    };
    harness.log.change(&change("another")).await.unwrap();
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness.until_waits(&execution, "parked").await.unwrap();
    harness.log.change(&change("sandbox-secret")).await.unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_holds_despite_a_successful_probe() {
    let harness = Setup::default().start().await.unwrap();
    let credentials = |secret: &str| egression_sandbox::Credentials {
        client_secret: secret.to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    let change = |secret: &str| ScenarioChange {
        credentials: Some(credentials(secret)),
        ..ScenarioChange::default()
    };
    harness.log.change(&change("another")).await.unwrap();
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness.until_waits(&execution, "parked").await.unwrap();
    harness
        .act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    harness.log.change(&change("sandbox-secret")).await.unwrap();
    harness
        .until(&execution, |_| {
            harness
                .shop
                .report()
                .by_status
                .get(&200)
                .is_some_and(|calls| *calls >= 2)
        })
        .await
        .unwrap();
    harness.until_waits(&execution, "paused").await.unwrap();
    assert!(harness.log.writes().await.unwrap().is_empty());
    harness
        .act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_holds_despite_a_late_refusal() {
    let harness = with_own_connection("sandbox-secret").await;
    // The test answers for the token endpoint.
    let tokens = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut auth = client_credentials(&harness, "another");
    auth["token_url"] = json!(format!(
        "http://{}/oauth/token",
        tokens.local_addr().unwrap()
    ));
    put_connection(&harness, auth).await.unwrap();
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = harness.submit(job).await.unwrap();
    let (mut asked, _) = tokio::time::timeout(PATIENCE, tokens.accept())
        .await
        .unwrap()
        .unwrap();
    let connection = format!("/v1/channels/own/connections/{TENANT}");
    harness.act(&format!("{connection}:pause")).await.unwrap();
    let refusal = "{\"error\":\"invalid_client\"}";
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{refusal}",
        refusal.len()
    );
    tokio::io::AsyncReadExt::read(&mut asked, &mut [0; 16_384])
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut asked, answer.as_bytes())
        .await
        .unwrap();
    let waits = harness.until_waits(&execution, "paused").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    let view: Value = harness.rest.get(&connection).await.unwrap();
    assert_eq!(view["status"]["state"], "paused", "{view}");
    // After the resume, the host finds that the credential is refused.
    harness.act(&format!("{connection}:resume")).await.unwrap();
    put_connection(&harness, client_credentials(&harness, "sandbox-secret"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_master_key_is_not_replaced() {
    let mut harness = Setup::default().start().await.unwrap();
    let key = harness.host.data_dir().join("master.key");
    let kept = std::fs::read(&key).unwrap();
    harness.host.kill9().await.unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = harness.host.restart().await.unwrap_err().to_string();
    assert!(refused.contains("master key") && !key.exists(), "{refused}");
    std::fs::write(&key, kept).unwrap();
    harness.restart().await.unwrap();
    assert_eq!(
        harness
            .deliver(category_job("c", &category("c")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_session_is_renewed() {
    for login in [true, false] {
        let faults = Faults {
            token_revocations: vec![10, 25],
            ..Faults::default()
        };
        let scenario = Scenario {
            faults,
            ..Scenario::default()
        };
        let harness = Setup {
            scenario,
            channel: "max_items = 2\n".to_owned(),
            mode: "single",
            login,
            ..Setup::default()
        }
        .start()
        .await
        .unwrap();
        let jobs = (0..60)
            .map(|n| category_job(&format!("c{n}"), &category("c")))
            .collect();
        let execution = harness.bulk(json!({}), jobs).await.unwrap();
        harness.expect_all_succeeded(&execution, 60).await.unwrap();
        let report = harness.shop.report();
        assert_eq!(
            (report.token_revocations, report.repeated_other_key),
            (2, 0),
            "{report:?}"
        );
        let path = if login { "/v1/login" } else { "/oauth/token" };
        let logins = harness
            .log
            .calls()
            .await
            .unwrap()
            .iter()
            .filter(|call| call.path == path)
            .count();
        assert_eq!(logins, 3, "one login at the start and one per revocation");
        assert!(
            harness
                .jobs(&execution)
                .await
                .unwrap()
                .iter()
                .all(|job| job["attempts"] == 1),
            "a refused token costs no attempt"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_session_is_renewed() {
    let scenario = Scenario {
        token_ttl_s: 6,
        ..Scenario::default()
    };
    let harness = Setup {
        scenario,
        login: true,
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let one = harness
        .deliver(category_job("one", &category("one")))
        .await
        .unwrap();
    assert_eq!(one["state"], "succeeded");
    // The host renews a session five seconds before its end, so no call is refused.
    let mut later = category_job("two", &category("two"));
    later["scheduled_at"] = json!(instant(1500));
    let two = harness.deliver(later).await.unwrap();
    assert_eq!(two["state"], "succeeded");
    let calls = harness.log.calls().await.unwrap();
    assert_eq!(
        calls.iter().filter(|call| call.path == "/v1/login").count(),
        2
    );
    assert!(
        calls.iter().all(|call| call.status != 401),
        "no refused calls"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_tokens_are_not_fetched_in_a_loop() {
    for login in [true, false] {
        let scenario = Scenario {
            token_ttl_s: 0,
            ..Scenario::default()
        };
        let harness = Setup {
            scenario,
            login,
            ..Setup::default()
        }
        .start()
        .await
        .unwrap();
        let execution = harness
            .submit(category_job("c", &category("c")))
            .await
            .unwrap();
        // The connector cannot log in. The host's token is refused, and it fetches the next one
        // later.
        let reason = if login { "parked" } else { "limit" };
        harness.until_waits(&execution, reason).await.unwrap();
        let calls = harness.shop.report().calls;
        assert!(calls < 40, "login {login}: {calls} calls");
        harness
            .log
            .change(&ScenarioChange {
                token_ttl_s: Some(3600),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        harness.expect_all_succeeded(&execution, 1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_opens_the_circuit_and_a_probe_closes_it() {
    let harness = Setup {
        channel: FAST_RETRY.to_owned(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    assert_eq!(
        harness
            .deliver(category_job("before", &category("before")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
    let address = harness.shop.addr();
    let Harness {
        host,
        shop,
        log,
        rest,
    } = harness;
    shop.stop().await;
    // The port stays free. The next shop on it does not know the old tokens.
    let away = Harness {
        host,
        shop: Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap(),
        log,
        rest,
    };
    let jobs = (0..10)
        .map(|n| category_job(&format!("c{n}"), &category("c")))
        .collect();
    let execution = away.bulk(json!({}), jobs).await.unwrap();
    let view = away
        .until(&execution, |view| waiting(view, "circuit") == 10)
        .await
        .unwrap();
    assert_eq!(view["counts"]["waiting"], 10, "{view}");
    let first = &away.jobs(&execution).await.unwrap()[0];
    assert_eq!(first["attempts"], 0, "nothing left the host: {first}");
    let back = Shop::start(Scenario::default(), address).await.unwrap();
    away.expect_all_succeeded(&execution, 10).await.unwrap();
    assert_eq!(back.report().objects["category"], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manual_check_resumes_the_connection() {
    // Probes are rare, so that the manual check frees the connection.
    let server = "[server.dispatch]\nprobe_min_ms = 600000\nprobe_max_ms = 600000\n".to_owned();
    let harness = Setup {
        server,
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let credentials = |secret: &str| egression_sandbox::Credentials {
        client_secret: secret.to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    let change = |secret: &str| ScenarioChange {
        credentials: Some(credentials(secret)),
        ..ScenarioChange::default()
    };
    let check = format!("/v1/channels/{CHANNEL}/connections/{TENANT}:check");
    harness.log.change(&change("another")).await.unwrap();
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness.until_waits(&execution, "parked").await.unwrap();
    let found = harness.act(&check).await.unwrap();
    assert_eq!(found["works"], json!(false), "{found}");
    assert!(
        found["problems"][0]["message"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{found}"
    );
    let connection: Value = harness
        .rest
        .get(&format!("/v1/channels/{CHANNEL}/connections/{TENANT}"))
        .await
        .unwrap();
    assert_eq!(
        connection["status"]["state"], "parked",
        "a failed check changes nothing: {connection}"
    );
    harness.log.change(&change("sandbox-secret")).await.unwrap();
    let found = harness.act(&check).await.unwrap();
    assert_eq!(
        (&found["works"], &found["problems"]),
        (&json!(true), &json!([])),
        "{found}"
    );
    harness.expect_all_succeeded(&execution, 1).await.unwrap();

    let nobody = harness
        .rest
        .post(
            &format!("/v1/channels/{CHANNEL}/connections/nobody:check"),
            &json!({}),
        )
        .await
        .unwrap();
    assert_eq!(nobody.0, 404);
}

/// Writes a connection that logs in with this key.
async fn put_login(harness: &Harness, url: &str, key: &str) -> Result<()> {
    let document = json!({
        "subscription": TENANT, "channel": "own",
        "settings": {"base_url": url, "login": true}, "allow_addresses": ["127.0.0.1/32"],
        "auth": {"scheme": "connector", "secrets": {"api_key": {"value": key}}},
    });
    let answer = harness
        .rest
        .request(
            Method::PUT,
            &format!("/v1/channels/own/connections/{TENANT}"),
        )
        .json(&document)
        .send()
        .await?;
    anyhow::ensure!(
        answer.status().is_success(),
        "connection refused: {}",
        answer.text().await?
    );
    Ok(())
}

async fn deliver_own(harness: &Harness, id: &str) -> Result<()> {
    let mut job = category_job(id, &category(id));
    job["channel"] = json!("own");
    let job = harness.deliver(job).await?;
    anyhow::ensure!(job["state"] == "succeeded", "{job}");
    Ok(())
}

async fn logins(harness: &Harness) -> Result<usize> {
    Ok(harness
        .log
        .calls()
        .await?
        .iter()
        .filter(|call| call.path == "/v1/login" && call.status == 200)
        .count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_is_bound_to_credential_and_address() {
    let mut harness = with_own_connection("unused").await;
    let shop = format!("http://{}", harness.shop.addr());
    let take = |key: &str| ScenarioChange {
        credentials: Some(egression_sandbox::Credentials {
            api_key: key.to_owned(),
            ..egression_sandbox::Credentials::default()
        }),
        ..ScenarioChange::default()
    };
    put_login(&harness, &shop, "sandbox-key").await.unwrap();
    deliver_own(&harness, "one").await.unwrap();
    put_login(&harness, &shop, "sandbox-key").await.unwrap();
    deliver_own(&harness, "two").await.unwrap();
    assert_eq!(
        logins(&harness).await.unwrap(),
        1,
        "the credential is unchanged"
    );

    // The shop still accepts the old session. Only the host knows that the credential changed.
    harness.log.change(&take("second-key")).await.unwrap();
    put_login(&harness, &shop, "second-key").await.unwrap();
    deliver_own(&harness, "three").await.unwrap();
    assert_eq!(logins(&harness).await.unwrap(), 2, "another credential");

    harness.host.kill9().await.unwrap();
    harness.restart().await.unwrap();
    deliver_own(&harness, "four").await.unwrap();
    assert_eq!(
        logins(&harness).await.unwrap(),
        2,
        "a session survives a restart"
    );

    harness.log.change(&take("third-key")).await.unwrap();
    put_login(&harness, &shop, "third-key").await.unwrap();
    harness.host.kill9().await.unwrap();
    harness.restart().await.unwrap();
    deliver_own(&harness, "five").await.unwrap();
    assert_eq!(
        logins(&harness).await.unwrap(),
        3,
        "a stored session ends with its credential"
    );

    let moved = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    put_login(&harness, &format!("http://{}", moved.addr()), "sandbox-key")
        .await
        .unwrap();
    deliver_own(&harness, "six").await.unwrap();
    assert_eq!(moved.report().objects["category"], 1);
}
