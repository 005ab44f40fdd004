//! Runs the demo: starts shops, source and host, submits one bulk request, waits for its end, and
//! reads the logs of the shops.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use egression_sandbox::Scenario;
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopProcess;
use egression_tests::source::{MetadataApi, SourceObject};
use egression_tests::stopwatch::Stopwatch;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::catalogue::{self, Object};
use crate::configuration::{self, CHANNELS, Parties, SOURCE, SUBSCRIPTION};
use crate::scenario;
use crate::verdict::{self, Evidence, HostUsage, Verdict};

pub(crate) struct Settings<'a> {
    pub(crate) objects: Option<usize>,
    pub(crate) seed: u64,
    /// The directory for the host's data, the configuration and the logs.
    pub(crate) directory: &'a Path,
}

pub(crate) async fn run(settings: &Settings<'_>) -> Result<Verdict> {
    let seed = settings.seed;
    let objects = settings.objects.map_or_else(
        || catalogue::whole(seed),
        |count| catalogue::part(seed, count),
    );
    announce(&objects, settings);
    let token = format!("source-token-{seed:x}");
    let source = MetadataApi::start(
        objects
            .iter()
            .map(source_object)
            .collect::<Result<Vec<_>>>()?,
        &token,
    )
    .await?;
    let scenarios = [
        scenario::shop_a(objects.len(), seed),
        scenario::shop_b(objects.len(), seed),
    ];
    let egression = binary::egression()?;
    let [a, b] = &scenarios;
    let mut shops = [
        ShopProcess::start(&egression, CHANNELS[0], a, settings.directory).await?,
        ShopProcess::start(&egression, CHANNELS[1], b, settings.directory).await?,
    ];
    let mut host = start_host(settings, &source, &token, [(&shops[0], a), (&shops[1], b)]).await?;
    let file = settings.directory.join("catalogue.ndjson");
    std::fs::write(&file, bulk(&objects))?;

    let watch = Stopwatch::start();
    let execution = submit(&host, &file).await?;
    let seconds = watch.seconds();

    host.expect_running()?;
    let usage = [
        host_usage(&host, CHANNELS[0]).await?,
        host_usage(&host, CHANNELS[1]).await?,
    ];
    shops.iter_mut().try_for_each(ShopProcess::expect_running)?;
    let evidence = [
        Evidence::ask(shops[0].log()).await?,
        Evidence::ask(shops[1].log()).await?,
    ];
    let verdict = verdict::judge(
        &objects,
        execution,
        evidence,
        usage,
        source.asked(),
        seconds,
    );
    host.kill9().await?;
    for shop in shops {
        shop.end().await?;
    }
    Ok(verdict)
}

fn announce(objects: &[Object], settings: &Settings<'_>) {
    let count = |object_type: &str| {
        objects
            .iter()
            .filter(|object| object.object_type == object_type)
            .count()
    };
    let counts: Vec<_> = catalogue::WHOLE
        .iter()
        .map(|(object_type, whole)| (object_type, count(object_type), *whole))
        .collect();
    let shown: Vec<_> = counts
        .iter()
        .map(|(object_type, count, _)| format!("{object_type} {count}"))
        .collect();
    eprintln!(
        "seed {}: {} objects ({}) into {}",
        settings.seed,
        objects.len(),
        shown.join(", "),
        CHANNELS.join(" and ")
    );
    if settings.objects.is_none() && counts.iter().any(|(_, count, whole)| count != whole) {
        eprintln!(
            "note: the data of the crate pci-ids differs from the pinned version, which has {:?}",
            catalogue::WHOLE
        );
    }
}

fn source_object(object: &Object) -> Result<SourceObject> {
    let body = RawValue::from_string(object.body.to_string())?;
    Ok(SourceObject {
        id: object.id.clone(),
        object_type: object.object_type.to_owned(),
        revision: 1,
        body,
    })
}

async fn start_host(
    settings: &Settings<'_>,
    source: &MetadataApi,
    token: &str,
    shops: [(&ShopProcess, &Scenario); 2],
) -> Result<TestHost> {
    let shops = shops.map(|(shop, scenario)| (shop.url(), scenario));
    let parties = Parties {
        source_url: source.url(),
        source_token: token,
        shops,
    };
    let text = configuration::text(&parties, settings.directory)?;
    let mut host = TestHost::new(binary::egression()?, settings.directory.to_owned(), &text)?;
    host.restart().await?;
    eprintln!(
        "host {}, shops {} and {}, source {}",
        host.url()?,
        parties.shops[0].0,
        parties.shops[1].0,
        parties.source_url
    );
    host.install_connector(&binary::connector("sandbox")?)
        .await?;
    Ok(host)
}

/// One request for all objects. Offers come before products, and products before brands and
/// categories, so that the host must order them.
fn bulk(objects: &[Object]) -> String {
    let defaults = json!({
        "defaults": {
            "subscription": SUBSCRIPTION, "source": SOURCE, "channels": CHANNELS,
            "action": "upsert",
        }
    });
    let mut text = format!("{defaults}\n");
    for object_type in ["offer", "product", "brand", "category"] {
        for object in objects
            .iter()
            .filter(|object| object.object_type == object_type)
        {
            let job = json!({ "object_type": object.object_type, "object_ids": [object.id] });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{job}");
        }
    }
    text
}

/// Submits the file with `egression submit --watch`, which shows its progress to the user.
async fn submit(host: &TestHost, file: &Path) -> Result<Value> {
    let file = file
        .to_str()
        .context("the path of the directory is not Unicode")?;
    let mut command = host.command(&["submit", file, "--watch", "--output", "json"])?;
    // `output()` would capture standard error, too.
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    // An execution that ended with errors gets a verdict, too.
    let last = text.lines().last().unwrap_or_default();
    let Ok(execution) = serde_json::from_str::<Value>(last) else {
        bail!(
            "egression submit ended with {}\n{}",
            output.status,
            host.last_lines()
        );
    };
    ensure!(
        execution["done"] == true,
        "the execution is not done: {execution:.600}\n{}",
        host.last_lines()
    );
    Ok(execution)
}

/// The host's own figures about its use of a connection's limits.
async fn host_usage(host: &TestHost, channel: &str) -> Result<HostUsage> {
    let connection: Value = host
        .rest()?
        .get(&format!(
            "/v1/channels/{channel}/connections/{SUBSCRIPTION}"
        ))
        .await?;
    let usage: HostUsage = serde_json::from_value(connection["status"]["limit_used"].clone())
        .with_context(|| format!("{channel} has no limit_used: {connection}"))?;
    Ok(HostUsage {
        never_sent: never_sent(host, channel).await?,
        ..usage
    })
}

/// The requests of a channel that were never sent, from the host's metrics.
async fn never_sent(host: &TestHost, channel: &str) -> Result<u64> {
    let page = host.rest()?.metrics().await?;
    let labels = [
        format!("channel=\"{channel}\""),
        "status=\"never_sent\"".to_owned(),
    ];
    let line = page.lines().find(|line| {
        line.starts_with("egression_gate_requests_total{")
            && labels.iter().all(|label| line.contains(label.as_str()))
    });
    // A status that never occurred has no line.
    let value = line
        .and_then(|line| line.rsplit_once(' '))
        .map_or("0", |(_, value)| value);
    value
        .parse()
        .with_context(|| format!("invalid count: {line:?}"))
}
