//! Schemas that would take forever: the host refuses them, starts with them in its store, and
//! stops.

use std::time::Duration;

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel, with_schemas};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

/// A longer stop counts as a hang.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
const CONNECTION: &str = "/v1/channels/slots/connections/acme";
const SLOTS: &str = "[[channels]]\nname = \"slots\"\nconnector = \"schema-slots\"\n\
                     [[connections]]\nsubscription = \"acme\"\nchannel = \"slots\"\n";

/// Definitions of which each evaluates the one before twice.
fn doubling(levels: usize) -> Value {
    let mut definitions = Map::new();
    definitions.insert("d0".to_owned(), json!({ "type": "object" }));
    for level in 1..=levels {
        let before = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
        let twice = json!({ "allOf": [before, before] });
        definitions.insert(format!("d{level}"), twice);
    }
    json!({ "$defs": definitions, "$ref": format!("#/$defs/d{levels}") })
}

/// A schema that evaluates each level of a body twice as often as the level above.
fn doubling_by_level() -> Value {
    let next = json!({ "properties": { "next": { "$ref": "#" } } });
    json!({ "allOf": [next, next] })
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({ "next": inner }))
}

/// Waits until the connection of `slots` is parked with a reason that names the setting.
async fn until_parked(rest: &Rest, setting: &str) -> Result<()> {
    let mut seen = Value::Null;
    let poll = async {
        loop {
            seen = rest.get(CONNECTION).await?;
            let reason = seen["status"]["reason"].as_str().unwrap_or_default();
            if reason.starts_with("settings-invalid: ") && reason.contains(setting) {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let polled = timeout(Duration::from_secs(60), poll).await;
    polled.with_context(|| format!("{seen:#}"))?
}

async fn upload(rest: &Rest, component: Vec<u8>) -> Result<Answer> {
    let request = rest
        .request(Method::POST, "/v1/connectors")
        .header("content-type", "application/wasm");
    rest.send(request.body(component)).await
}

/// Expects that an ordinary job ends, the host answers, and stops.
async fn expect_healthy(host: &mut TestHost) -> Result<()> {
    let rest = host.rest()?;
    let delivered = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(delivered["status"], "succeeded", "{delivered:#}");
    assert_eq!(rest.get_status("/livez").await, Some(200));
    host.stop(STOPS_WITHIN).await
}

#[tokio::test]
async fn doubling_schema_is_refused_at_its_upload() -> Result<()> {
    let mut host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let (bomb, plain) = (doubling(39), json!({ "type": "object" }));
    let in_settings = with_schemas(&bomb, &plain)?;
    let in_bodies = with_schemas(&plain, &bomb)?;
    // Two at once, one for each core.
    let (first, second, third) = tokio::join!(
        upload(&rest, in_settings),
        upload(&rest, in_bodies.clone()),
        upload(&rest, in_bodies),
    );
    for answer in [first?, second?, third?] {
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert_eq!(
            (answer.status, answer.code()),
            (422, "connector.description_invalid"),
            "{}",
            answer.text
        );
        assert!(
            detail.contains("#/$defs/d8") && detail.contains("runtime.schemas.max_evaluations"),
            "{detail}"
        );
    }
    expect_healthy(&mut host).await
}

#[tokio::test]
async fn settings_schema_in_the_store_parks_its_connection() -> Result<()> {
    let channels = format!("{}{SLOTS}", HostileChannel::new("ok"));
    let configuration = |bounds: &str| {
        let server = format!("[server.runtime.schemas]\n{bounds}\n");
        format!("{}{channels}", hostile::configuration(&server, &[]))
    };
    // As a host with higher bounds installed it.
    let lenient = "max_evaluations = 1000000\n";
    let mut host = TestHost::start(&configuration(lenient)).await?;
    host.install_connector(&hostile::component()?).await?;
    let bomb = with_schemas(&doubling(17), &json!({ "type": "object" }))?;
    upload(&host.rest()?, bomb).await?.expect(201)?;
    let delivered = follow::submit_and_wait(&host.rest()?, &upsert("slots", "p1")).await?;
    assert_eq!(delivered["status"], "succeeded", "{delivered:#}");
    host.stop(STOPS_WITHIN).await?;

    let cases = [
        ("max_evaluations = 1000\n", "max_evaluations"),
        ("max_evaluations = 1000000\nmax_steps = 1000\n", "max_steps"),
    ];
    for (bounds, setting) in cases {
        std::fs::write(
            host.directory().join("egression.toml"),
            configuration(bounds),
        )?;
        host.restart().await?;
        let rest = host.rest()?;
        let waiting = follow::submit(&rest, &upsert("slots", setting)).await?;
        follow::until_waits_for(&rest, &waiting, "parked").await?;
        until_parked(&rest, setting).await?;
        expect_healthy(&mut host).await?;
    }

    std::fs::write(
        host.directory().join("egression.toml"),
        configuration(lenient),
    )?;
    host.restart().await?;
    let rest = host.rest()?;
    let delivered = follow::submit_and_wait(&rest, &upsert("slots", "p3")).await?;
    assert_eq!(delivered["status"], "succeeded", "it is parked for good");
    host.stop(STOPS_WITHIN).await
}

#[tokio::test]
async fn settings_that_are_not_judged_in_time_park_their_connection() -> Result<()> {
    // The thread would need years for these steps.
    let server = "[server.runtime.schemas]\nmax_steps = 1000000000000000\ndeadline_ms = 1000\n";
    let channels = format!(
        "{}[[channels]]\nname = \"slots\"\nconnector = \"schema-slots\"\n",
        HostileChannel::new("ok")
    );
    let configuration = format!("{}{channels}", hostile::configuration(server, &[]));
    let mut host = TestHost::start(&configuration).await?;
    host.install_connector(&hostile::component()?).await?;
    let rest = host.rest()?;
    let put = || {
        rest.request(Method::PUT, CONNECTION)
            .json(&json!({ "settings": nested(40) }))
    };
    // The schema is unknown yet.
    rest.send(put()).await?.expect(201)?;
    let connector = with_schemas(&doubling_by_level(), &json!({ "type": "object" }))?;
    upload(&rest, connector).await?.expect(201)?;
    until_parked(&rest, "deadline_ms").await?;
    let refused = rest.send(put()).await?.expect(400)?;
    assert_eq!(
        (
            &refused.json["errors"][0]["pointer"],
            &refused.json["errors"][0]["code"]
        ),
        (&json!("/settings"), &json!("settings.not_judged")),
        "{}",
        refused.text
    );
    expect_healthy(&mut host).await?;

    host.restart().await?;
    let waiting = follow::submit(&host.rest()?, &upsert("slots", "p1")).await?;
    follow::until_waits_for(&host.rest()?, &waiting, "parked").await?;
    expect_healthy(&mut host).await
}

#[tokio::test]
async fn body_that_takes_too_many_steps_is_rejected() -> Result<()> {
    let channels = format!("{}{SLOTS}", HostileChannel::new("ok"));
    let mut host =
        TestHost::start(&format!("{}{channels}", hostile::configuration("", &[]))).await?;
    host.install_connector(&hostile::component()?).await?;
    let rest = host.rest()?;
    let connector = with_schemas(&json!({ "type": "object" }), &doubling_by_level())?;
    upload(&rest, connector).await?.expect(201)?;

    let job = |id, levels| {
        let mut job = upsert("slots", id);
        job["payload"] = nested(levels);
        job
    };
    let shallow = follow::submit_and_wait(&rest, &job("shallow", 10)).await?;
    assert_eq!(shallow["status"], "succeeded", "{shallow:#}");
    for id in ["deep", "deeper"] {
        let deep = follow::submit_and_wait(&rest, &job(id, 100)).await?;
        let found = &deep["errors"][0];
        assert_eq!(
            (&found["code"], &found["state"]),
            (&json!("body.too_costly"), &json!("rejected")),
            "{deep:#}"
        );
    }
    expect_healthy(&mut host).await
}
