//! Credentials, sessions, and a destination that is away.

use std::time::Duration;

use anyhow::Result;
use egression_sandbox::{Faults, Scenario, ScenarioChange, Shop};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{
    CHANNEL, FAST_RETRY, Layout, PATIENCE, Rig, TENANT, category, category_job, waiting,
};

/// A second channel to the same shop, whose connection is the test's to write.
async fn with_own_connection(secret: &str) -> Rig {
    let more = format!("[[channels]]\nname = \"own\"\nconnector = \"sandbox\"\n{FAST_RETRY}");
    // Long between probes: what frees the connection is the new document.
    let server = "[server.dispatch]\nprobe_min_ms = 600000\nprobe_max_ms = 600000\n".to_owned();
    let rig = Layout {
        more,
        server,
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    put_connection(&rig, client_credentials(&rig, secret))
        .await
        .unwrap();
    rig
}

fn client_credentials(rig: &Rig, secret: &str) -> Value {
    let token_url = format!("http://{}/oauth/token", rig.shop.addr());
    json!({"scheme": "oauth2_client_credentials", "token_url": token_url, "client_id": "sandbox", "client_secret": {"value": secret}})
}

async fn put_connection(rig: &Rig, auth: Value) -> Result<()> {
    let shop = format!("http://{}", rig.shop.addr());
    let document = json!({
        "subscription": TENANT, "channel": "own", "settings": {"base_url": shop}, "allow_addresses": ["127.0.0.1/32"],
        "auth": auth,
    });
    let answer = rig
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
        "the connection is refused: {}",
        answer.text().await?
    );
    Ok(())
}

/// The connection, once its document says that it is parked: that follows what the jobs say.
async fn until_parked(rig: &Rig) -> Result<Value> {
    let looking = async {
        loop {
            let connection: Value = rig
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
async fn a_refused_credential_parks_the_connection_until_it_is_corrected() {
    let rig = with_own_connection("wrong").await;
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = rig.submit(job).await.unwrap();
    let waits = rig.until_waits(&execution, "parked").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    assert!(
        waits["waiting"]["key"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{waits}"
    );
    let connection = until_parked(&rig).await.unwrap();
    assert!(
        connection["status"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{connection}"
    );
    assert!(
        !connection.to_string().contains("wrong"),
        "a secret is never shown"
    );
    put_connection(&rig, client_credentials(&rig, "sandbox-secret"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(rig.only_job(&execution).await.unwrap()["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entered_token_that_is_refused_parks_the_connection() {
    let rig = with_own_connection("sandbox-secret").await;
    put_connection(
        &rig,
        json!({"scheme": "bearer", "token": {"value": "expired-long-ago"}}),
    )
    .await
    .unwrap();
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = rig.submit(job).await.unwrap();
    let waits = rig.until_waits(&execution, "parked").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    until_parked(&rig).await.unwrap();
    let refused = rig
        .shop
        .report()
        .by_status
        .get(&401)
        .copied()
        .unwrap_or_default();
    assert!(
        (1..=3).contains(&refused),
        "nobody can renew it, so it is not tried again and again: {refused} calls"
    );
    put_connection(&rig, client_credentials(&rig, "sandbox-secret"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_connection_comes_back_by_itself_when_the_destination_relents() {
    let rig = Layout::default().start().await.unwrap();
    let credentials = |secret: &str| egression_sandbox::Credentials {
        client_secret: secret.to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    let change = |secret: &str| ScenarioChange {
        credentials: Some(credentials(secret)),
        ..ScenarioChange::default()
    };
    rig.log.change(&change("another")).await.unwrap();
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    rig.until_waits(&execution, "parked").await.unwrap();
    rig.log.change(&change("sandbox-secret")).await.unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_although_a_probe_succeeds() {
    let rig = Layout::default().start().await.unwrap();
    let credentials = |secret: &str| egression_sandbox::Credentials {
        client_secret: secret.to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    let change = |secret: &str| ScenarioChange {
        credentials: Some(credentials(secret)),
        ..ScenarioChange::default()
    };
    rig.log.change(&change("another")).await.unwrap();
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    rig.until_waits(&execution, "parked").await.unwrap();
    rig.act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    rig.log.change(&change("sandbox-secret")).await.unwrap();
    rig.until(&execution, |_| {
        rig.shop
            .report()
            .by_status
            .get(&200)
            .is_some_and(|calls| *calls >= 2)
    })
    .await
    .unwrap();
    rig.until_waits(&execution, "paused").await.unwrap();
    assert!(rig.log.writes().await.unwrap().is_empty());
    rig.act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_although_a_refusal_comes_late() {
    let rig = with_own_connection("sandbox-secret").await;
    // A token endpoint that answers when the test says so.
    let tokens = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut auth = client_credentials(&rig, "another");
    auth["token_url"] = json!(format!(
        "http://{}/oauth/token",
        tokens.local_addr().unwrap()
    ));
    put_connection(&rig, auth).await.unwrap();
    let mut job = category_job("c", &category("c"));
    job["channel"] = json!("own");
    let execution = rig.submit(job).await.unwrap();
    let (mut asked, _) = tokio::time::timeout(PATIENCE, tokens.accept())
        .await
        .unwrap()
        .unwrap();
    let connection = format!("/v1/channels/own/connections/{TENANT}");
    rig.act(&format!("{connection}:pause")).await.unwrap();
    let refusal = "{\"error\":\"invalid_client\"}";
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{refusal}",
        refusal.len()
    );
    tokio::io::AsyncReadExt::read(&mut asked, &mut [0; 16_384])
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut asked, answer.as_bytes())
        .await
        .unwrap();
    let waits = rig.until_waits(&execution, "paused").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    let view: Value = rig.rest.get(&connection).await.unwrap();
    assert_eq!(view["status"]["state"], "paused", "{view}");
    // Going on, it is found out what it is worth.
    rig.act(&format!("{connection}:resume")).await.unwrap();
    put_connection(&rig, client_credentials(&rig, "sandbox-secret"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_its_master_key_makes_no_other_one() {
    let mut rig = Layout::default().start().await.unwrap();
    let key = rig.host.data_dir().join("master.key");
    let kept = std::fs::read(&key).unwrap();
    rig.host.kill9().await.unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = rig.host.restart().await.unwrap_err().to_string();
    assert!(refused.contains("master key") && !key.exists(), "{refused}");
    std::fs::write(&key, kept).unwrap();
    rig.restart().await.unwrap();
    assert_eq!(
        rig.deliver(category_job("c", &category("c")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_made_anew_when_it_is_revoked() {
    for login in [true, false] {
        let faults = Faults {
            token_revocations: vec![10, 25],
            ..Faults::default()
        };
        let scenario = Scenario {
            faults,
            ..Scenario::default()
        };
        let rig = Layout {
            scenario,
            channel: "max_items = 2\n".to_owned(),
            mode: "single",
            login,
            ..Layout::default()
        }
        .start()
        .await
        .unwrap();
        let jobs = (0..60)
            .map(|n| category_job(&format!("c{n}"), &category("c")))
            .collect();
        let execution = rig.bulk(json!({}), jobs).await.unwrap();
        rig.expect_all_succeeded(&execution, 60).await.unwrap();
        let report = rig.shop.report();
        assert_eq!(
            (report.token_revocations, report.repeated_other_key),
            (2, 0),
            "{report:?}"
        );
        let path = if login { "/v1/login" } else { "/oauth/token" };
        let logins = rig
            .log
            .calls()
            .await
            .unwrap()
            .iter()
            .filter(|call| call.path == path)
            .count();
        assert_eq!(
            logins, 3,
            "one login for the start and one for each revocation"
        );
        assert!(
            rig.jobs(&execution)
                .await
                .unwrap()
                .iter()
                .all(|job| job["attempts"] == 1),
            "a refused token spends no attempt"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_expires_is_renewed() {
    let scenario = Scenario {
        token_ttl_s: 6,
        ..Scenario::default()
    };
    let rig = Layout {
        scenario,
        login: true,
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let one = rig
        .deliver(category_job("one", &category("one")))
        .await
        .unwrap();
    assert_eq!(one["state"], "succeeded");
    // Five seconds before its end a session is renewed; no call meets its end.
    let mut later = category_job("two", &category("two"));
    later["scheduled_at"] = json!(crate::timing::instant(1500));
    let two = rig.deliver(later).await.unwrap();
    assert_eq!(two["state"], "succeeded");
    let calls = rig.log.calls().await.unwrap();
    assert_eq!(
        calls.iter().filter(|call| call.path == "/v1/login").count(),
        2
    );
    assert!(
        calls.iter().all(|call| call.status != 401),
        "no call was refused"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_never_good_are_not_fetched_in_a_circle() {
    for login in [true, false] {
        let scenario = Scenario {
            token_ttl_s: 0,
            ..Scenario::default()
        };
        let rig = Layout {
            scenario,
            login,
            ..Layout::default()
        }
        .start()
        .await
        .unwrap();
        let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
        // The session cannot even be made; a token that the host fetched is refused, and the next
        // one is fetched later.
        let reason = if login { "parked" } else { "limit" };
        rig.until_waits(&execution, reason).await.unwrap();
        let calls = rig.shop.report().calls;
        assert!(calls < 40, "login {login}: {calls} calls");
        rig.log
            .change(&ScenarioChange {
                token_ttl_s: Some(3600),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        rig.expect_all_succeeded(&execution, 1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_down_opens_the_circuit_and_a_probe_closes_it() {
    let rig = Layout {
        channel: FAST_RETRY.to_owned(),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    assert_eq!(
        rig.deliver(category_job("before", &category("before")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
    let address = rig.shop.addr();
    let Rig {
        host,
        shop,
        log,
        rest,
    } = rig;
    shop.stop().await;
    // The port stays taken by nobody; whoever comes back has forgotten all tokens.
    let away = Rig {
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
async fn a_person_checks_a_connection_and_it_goes_on() {
    // Long between probes: what frees the connection is the person's check.
    let server = "[server.dispatch]\nprobe_min_ms = 600000\nprobe_max_ms = 600000\n".to_owned();
    let rig = Layout {
        server,
        ..Layout::default()
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
    rig.log.change(&change("another")).await.unwrap();
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    rig.until_waits(&execution, "parked").await.unwrap();
    let found = rig.act(&check).await.unwrap();
    assert_eq!(found["works"], json!(false), "{found}");
    assert!(
        found["problems"][0]["message"]
            .as_str()
            .is_some_and(|why| why.contains("invalid_client")),
        "{found}"
    );
    let connection: Value = rig
        .rest
        .get(&format!("/v1/channels/{CHANNEL}/connections/{TENANT}"))
        .await
        .unwrap();
    assert_eq!(
        connection["status"]["state"], "parked",
        "a check that fails changes nothing: {connection}"
    );
    rig.log.change(&change("sandbox-secret")).await.unwrap();
    let found = rig.act(&check).await.unwrap();
    assert_eq!(
        (&found["works"], &found["problems"]),
        (&json!(true), &json!([])),
        "{found}"
    );
    rig.expect_all_succeeded(&execution, 1).await.unwrap();

    let nobody = rig
        .rest
        .post(
            &format!("/v1/channels/{CHANNEL}/connections/nobody:check"),
            &json!({}),
        )
        .await
        .unwrap();
    assert_eq!(nobody.0, 404);
}

/// The document of an own connection that logs in with this key.
async fn put_login(rig: &Rig, url: &str, key: &str) -> Result<()> {
    let document = json!({
        "subscription": TENANT, "channel": "own", "settings": {"base_url": url, "login": true}, "allow_addresses": ["127.0.0.1/32"],
        "auth": {"scheme": "connector", "secrets": {"api_key": {"value": key}}},
    });
    let answer = rig
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
        "the connection is refused: {}",
        answer.text().await?
    );
    Ok(())
}

async fn deliver_own(rig: &Rig, id: &str) -> Result<()> {
    let mut job = category_job(id, &category(id));
    job["channel"] = json!("own");
    let job = rig.deliver(job).await?;
    anyhow::ensure!(job["state"] == "succeeded", "{job}");
    Ok(())
}

async fn logins(rig: &Rig) -> Result<usize> {
    Ok(rig
        .log
        .calls()
        .await?
        .iter()
        .filter(|call| call.path == "/v1/login" && call.status == 200)
        .count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_belongs_to_the_credential_and_the_address_that_it_was_made_with() {
    let mut rig = with_own_connection("unused").await;
    let shop = format!("http://{}", rig.shop.addr());
    let take = |key: &str| ScenarioChange {
        credentials: Some(egression_sandbox::Credentials {
            api_key: key.to_owned(),
            ..egression_sandbox::Credentials::default()
        }),
        ..ScenarioChange::default()
    };
    put_login(&rig, &shop, "sandbox-key").await.unwrap();
    deliver_own(&rig, "one").await.unwrap();
    put_login(&rig, &shop, "sandbox-key").await.unwrap();
    deliver_own(&rig, "two").await.unwrap();
    assert_eq!(
        logins(&rig).await.unwrap(),
        1,
        "the same credential again is no other one"
    );

    // The shop takes the old session still: it is another account's, which only the host can know.
    rig.log.change(&take("second-key")).await.unwrap();
    put_login(&rig, &shop, "second-key").await.unwrap();
    deliver_own(&rig, "three").await.unwrap();
    assert_eq!(logins(&rig).await.unwrap(), 2, "another credential");

    rig.host.kill9().await.unwrap();
    rig.restart().await.unwrap();
    deliver_own(&rig, "four").await.unwrap();
    assert_eq!(
        logins(&rig).await.unwrap(),
        2,
        "a session outlives a restart"
    );

    rig.log.change(&take("third-key")).await.unwrap();
    put_login(&rig, &shop, "third-key").await.unwrap();
    rig.host.kill9().await.unwrap();
    rig.restart().await.unwrap();
    deliver_own(&rig, "five").await.unwrap();
    assert_eq!(
        logins(&rig).await.unwrap(),
        3,
        "nor does a stored one outlive its credential"
    );

    let moved = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    put_login(&rig, &format!("http://{}", moved.addr()), "sandbox-key")
        .await
        .unwrap();
    deliver_own(&rig, "six").await.unwrap();
    assert_eq!(moved.report().objects["category"], 1);
}
