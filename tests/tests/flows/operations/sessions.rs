//! Sessions and fetched tokens: renewed when revoked or expired, and bound to their credential.

use anyhow::Result;
use egression_sandbox::{Faults, Scenario, ScenarioChange, Shop};
use reqwest::Method;
use serde_json::json;

use super::credentials::with_own_connection;
use crate::harness::{Harness, Setup, TENANT, category, category_job, instant};

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
    let mut harness = with_own_connection("unused-secret").await;
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
