//! Denied addresses: the gate refuses them before it sends a byte, and the history has the reason.

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::target::Target;
use serde_json::Value;

use crate::name_server::NameServer;

#[tokio::test]
async fn denied_addresses_get_no_byte() -> Result<()> {
    let target = Target::start().await?;
    let elsewhere = Target::start().await?;
    let own = target.url("/ok");
    let port = own
        .trim_end_matches("/ok")
        .rsplit(':')
        .next()
        .context("a port")?
        .to_owned();
    let reach = |name: &str, url: &str| {
        HostileChannel::new("reach")
            .named(name)
            .setting("target_url", url)
    };
    let loopback = "allow_addresses = [\"127.0.0.1/32\"]";
    let channels = [
        reach("allowed", &own).connection(loopback),
        // The setting grants the host, but the address is refused.
        reach("loopback", &own),
        reach("name-of-loopback", &format!("http://localhost:{port}/ok")),
        reach("mapped", &format!("http://[::ffff:127.0.0.1]:{port}/ok")),
        reach("decimal", &format!("http://2130706433:{port}/ok")),
        reach("private", "http://10.0.0.1/ok"),
        reach("metadata", "http://169.254.169.254/latest/meta-data/"),
        reach("unspecified", &format!("http://0.0.0.0:{port}/ok")),
        // An allowed range allows no other address.
        reach("another-range", &own).connection("allow_addresses = [\"10.0.0.0/8\"]"),
        // A host that was not granted, with an allowed address.
        reach("not-granted", &own)
            .setting("elsewhere_url", &elsewhere.url("/ok"))
            .connection(loopback),
        reach("granted-by-operator", &own)
            .setting("elsewhere_url", &elsewhere.url("/ok"))
            .connection(loopback)
            .connection(&format!("allow_hosts = [\"{}\"]", elsewhere.url(""))),
        reach("with-a-user", &own)
            .setting(
                "elsewhere_url",
                &own.replace("http://", "http://user:pass@"),
            )
            .connection(loopback),
        reach("another-scheme", &own)
            .setting("elsewhere_url", &own.replace("http://", "https://"))
            .connection(loopback),
        reach("a-file", &own)
            .setting("elsewhere_url", "file:///etc/passwd")
            .connection(loopback),
        // The gate does not follow redirects.
        reach(
            "redirected",
            &target.url(&format!("/redirect?{}", elsewhere.url("/stolen"))),
        )
        .connection(loopback),
        reach(
            "redirected-to-metadata",
            &target.url("/redirect?http://169.254.169.254/latest/"),
        )
        .connection(loopback),
    ];
    let host = hostile::start("", &channels).await?;
    let rest = host.rest()?;
    for (channel, why) in [
        ("loopback", "127.0.0.1 is loopback"),
        ("name-of-loopback", "loopback"),
        ("mapped", "loopback"),
        ("decimal", "127.0.0.1 is loopback"),
        ("private", "10.0.0.1 is private"),
        (
            "metadata",
            "169.254.169.254 is link-local, where clouds keep their metadata",
        ),
        ("unspecified", "0.0.0.0 is unspecified"),
        ("another-range", "127.0.0.1 is loopback"),
        ("not-granted", "is not granted"),
        ("with-a-user", "must not contain a user or password"),
        ("another-scheme", "is not granted"),
        ("a-file", "is not http or https"),
    ] {
        let (job, events) = try_to_reach(&rest, channel).await?;
        assert_eq!(
            (&job["state"], &job["problem"]["code"]),
            (&"rejected".into(), &"reach.denied".into()),
            "{channel}: {job:#}"
        );
        assert!(
            job["problem"]["message"]
                .as_str()
                .is_some_and(|message| message.contains(why)),
            "{channel}: {job:#}"
        );
        let told = events
            .iter()
            .filter(|event| event["stage"] == "denied")
            .filter_map(|event| event["detail"]["error"].as_str())
            .any(|error| error.contains("denied") && error.contains(why));
        assert!(told, "{channel}: {events:#?}");
        assert!(
            events.iter().all(|event| event["http_status"].is_null()),
            "{channel}: unexpected answer: {events:#?}"
        );
    }
    assert_eq!(
        (target.arrived(), elsewhere.arrived()),
        (Vec::new(), Vec::new()),
        "a request was sent"
    );

    for (channel, status) in [
        ("redirected", 302),
        ("redirected-to-metadata", 302),
        ("granted-by-operator", 200),
        ("allowed", 200),
    ] {
        let (job, events) = try_to_reach(&rest, channel).await?;
        assert_eq!(
            (&job["problem"]["code"], &job["problem"]["http_status"]),
            (&"reach.answered".into(), &status.into()),
            "{channel}: {job:#}"
        );
        let answers = events
            .iter()
            .filter(|event| event["stage"] == "responded")
            .count();
        assert_eq!(
            answers, 1,
            "{channel}: not one request and one answer: {events:#?}"
        );
    }
    let paths = |target: &Target| {
        target
            .arrived()
            .into_iter()
            .map(|request| request.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        paths(&elsewhere),
        ["/ok"],
        "only the granted requests, and no redirect"
    );
    assert_eq!(target.arrived().len(), 3);
    Ok(())
}

#[tokio::test]
async fn name_is_judged_by_its_dialed_address() -> Result<()> {
    let (target, names) = (Target::start().await?, NameServer::start().await?);
    let url = target.url("/close").replace("127.0.0.1", "shop.example");
    let channel = HostileChannel::new("reach")
        .setting("target_url", &url)
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start(
        &format!("[server.gate]\nnameservers = [\"{}\"]\n", names.address()),
        &[channel],
    )
    .await?;
    let rest = host.rest()?;
    // The name gets another address between two requests.
    for (addresses, code, says) in [
        (&["10.0.0.1"][..], "reach.denied", "10.0.0.1 is private"),
        (&["127.0.0.1"], "reach.answered", "status 200"),
        (
            &["169.254.169.254"],
            "reach.denied",
            "where clouds keep their metadata",
        ),
        // Of several addresses, an allowed one is dialed.
        (&["10.0.0.1", "127.0.0.1"], "reach.answered", "status 200"),
        (
            &["10.0.0.1", "169.254.169.254"],
            "reach.denied",
            "is not allowed",
        ),
    ] {
        names.answer_with(addresses)?;
        let (job, events) = try_to_reach(&rest, "reach").await?;
        assert_eq!(job["problem"]["code"], code, "{addresses:?}: {job:#}");
        assert!(
            job["problem"]["message"]
                .as_str()
                .is_some_and(|message| message.contains(says)),
            "{addresses:?}: {job:#}"
        );
        let denied = events.iter().any(|event| event["stage"] == "denied");
        assert_eq!(denied, code == "reach.denied", "{addresses:?}: {events:#?}");
    }
    assert_eq!(target.arrived().len(), 2, "once for each answer");
    Ok(())
}

async fn try_to_reach(rest: &Rest, channel: &str) -> Result<(Value, Vec<Value>)> {
    let execution = follow::submit_and_wait(rest, &upsert(channel, "p1")).await?;
    let job = follow::jobs(rest, &execution)
        .await?
        .into_iter()
        .next()
        .context("one job")?;
    let events = follow::events(rest, &job).await?;
    Ok((job, events))
}
