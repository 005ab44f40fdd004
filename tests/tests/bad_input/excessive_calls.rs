//! Connectors that demand too much from the host's functions: the host refuses them with the name
//! of the bound, and continues.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::target::Target;
use serde_json::Value;

/// The default maximum of requests in one `send-all`.
const SEND_ALL_REQUESTS: usize = 256;

async fn end(rest: &Rest, channel: &str) -> Result<Value> {
    let execution = follow::submit_and_wait(rest, &upsert(channel, "p1")).await?;
    let mut jobs = follow::jobs(rest, &execution).await?;
    anyhow::ensure!(jobs.len() == 1, "{jobs:#?}");
    Ok(jobs.remove(0))
}

fn told(job: &Value) -> (&str, &str, &str) {
    let problem = &job["problem"];
    (
        job["state"].as_str().unwrap_or(""),
        problem["code"].as_str().unwrap_or(""),
        problem["message"].as_str().unwrap_or(""),
    )
}

#[tokio::test]
async fn excessive_calls_are_refused() -> Result<()> {
    let target = Target::start().await?;
    let refused = [
        ("huge_deposit", "16 kept; a secret has at most 65536 bytes"),
        ("huge_sign", "gate.max_sign_bytes"),
        ("send_thousands", "256 answered; "),
        ("many_headers", "gate.max_request_headers"),
        ("many_costs", "gate.max_request_costs"),
        ("placeholder_body", "gate.max_request_bytes"),
    ];
    let others = ["many_remotes", "sign_forever", "ok"];
    let channels: Vec<HostileChannel> = refused
        .iter()
        .map(|(behave, _)| *behave)
        .chain(others)
        .map(|behave| {
            HostileChannel::new(behave)
                .setting("target_url", &target.url("/ok"))
                .connection("allow_addresses = [\"127.0.0.1/32\"]")
        })
        .collect();
    let host = hostile::start("[server.runtime]\nworkers = 1\n", &channels).await?;
    let rest = host.rest()?;
    for (behave, why) in refused {
        let job = end(&rest, &behave.replace('_', "-")).await?;
        let (state, code, message) = told(&job);
        assert_eq!(
            (state, code),
            ("rejected", "attack.refused"),
            "{behave}: {job:#}"
        );
        assert!(message.contains(why), "{behave}: {message}");
        assert_eq!(
            told(&end(&rest, "ok").await?).0,
            "succeeded",
            "after {behave}"
        );
    }
    assert_eq!(
        target.arrived().len(),
        SEND_ALL_REQUESTS,
        "other requests were sent"
    );

    let job = end(&rest, "many-remotes").await?;
    assert_eq!(told(&job).0, "unknown", "{job:#}");
    let events = follow::events(&rest, &job).await?;
    assert!(
        events
            .iter()
            .any(|event| event["detail"]["problem"]["code"] == "guest.outcome_too_large"),
        "{events:#?}"
    );
    assert_eq!(
        told(&end(&rest, "ok").await?).0,
        "succeeded",
        "after many_remotes"
    );

    // Work of the host for a guest counts as the guest's time.
    let job = end(&rest, "sign-forever").await?;
    assert_eq!(
        (told(&job).0, told(&job).1),
        ("failed", "guest.cpu_budget"),
        "{job:#}"
    );
    assert_eq!(
        told(&end(&rest, "ok").await?).0,
        "succeeded",
        "after sign_forever"
    );
    Ok(())
}
