//! Credentials, parked connections, and destination outages.

use std::time::Duration;

use anyhow::Result;
use egression_sandbox::{Scenario, ScenarioChange, Shop};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    CHANNEL, FAST_RETRY, Harness, PATIENCE, Setup, TENANT, category, category_job, waiting,
};

/// A second channel to the same shop. The test writes its connection.
pub async fn with_own_connection(secret: &str) -> Harness {
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
    let harness = with_own_connection("wrong-secret").await;
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
        !connection.to_string().contains("wrong-secret"),
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
    let mut auth = client_credentials(&harness, "another-secret");
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
