//! Misbehaving connectors: their calls end by the rules, the history has the reason, and neighbors
//! finish meanwhile.

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::target::Target;
use serde_json::{Value, json};

/// One thread for all guests: a neighbor runs only if a computing guest yields.
const ONE_WORKER: &str = "[server.runtime]\nworkers = 1\nmemory_bytes = 16777216\n";

/// An ended job with its events and log lines.
struct Ended {
    job: Value,
    events: Vec<Value>,
    log: Vec<String>,
}

impl Ended {
    fn state(&self) -> &str {
        self.job["state"].as_str().unwrap_or_default()
    }

    fn code(&self) -> &str {
        self.job["problem"]["code"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.job["problem"]["message"].as_str().unwrap_or_default()
    }

    fn stages(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| event["stage"].as_str())
            .collect()
    }

    /// Expects the call, the end and the problem in the history.
    fn expect_history(&self) {
        assert!(self.stages().contains(&"sent"), "{:#?}", self.events);
        let last = self.events.last().unwrap();
        assert_eq!(
            (&last["stage"], &last["detail"]["code"]),
            (&self.job["state"], &self.job["problem"]["code"]),
            "{:#?}",
            self.events
        );
    }
}

#[tokio::test]
async fn hostile_calls_end_by_the_rules() -> Result<()> {
    let behaviours = ["trap", "eat_memory", "flood_log", "wrong_index", "twice"];
    let mut channels: Vec<HostileChannel> =
        behaviours.into_iter().map(HostileChannel::new).collect();
    channels.push(HostileChannel::new("ok"));
    let host = hostile::start(&format!("{ONE_WORKER}cpu_budget_ms = 1500\n"), &channels).await?;
    let rest = host.rest()?;
    let mut bad = Vec::new();
    for channel in &channels {
        bad.push(follow::submit(&rest, &upsert(&channel.name, "p1")).await?);
    }
    let neighbor = follow::submit_and_wait(&rest, &upsert("ok", "neighbor")).await?;
    assert_eq!(neighbor["status"], "succeeded", "{neighbor:#}");
    let mut ends = Vec::new();
    for execution in bad {
        ends.push(only_job(&rest, &follow::until_done(&rest, &execution).await?).await?);
    }
    let [trap, memory, flood, index, twice, ok] = &ends[..] else {
        panic!("six")
    };

    assert_eq!((trap.state(), trap.code()), ("failed", "guest.trap"));
    assert!(
        trap.message().contains("told to trap"),
        "its last words: {}",
        trap.message()
    );
    trap.expect_history();

    assert_eq!((memory.state(), memory.code()), ("failed", "guest.memory"));
    memory.expect_history();

    // A gigabyte of lines: either the budget or the guest ends first, but the host keeps the same
    // lines.
    assert!(
        flood.state() == "succeeded" || flood.code() == "guest.cpu_budget",
        "{:#}",
        flood.job
    );
    // Lines of 10 KB are cut to 2,048 bytes. A call keeps 64 KiB: 32 lines, and one with the number
    // of dropped lines.
    assert_eq!(
        flood.log.len(),
        33,
        "{:?}",
        flood.log.iter().map(String::len).collect::<Vec<_>>()
    );
    assert!(flood.log[..32].iter().all(|line| *line == "x".repeat(2048)));
    assert!(
        flood
            .log
            .last()
            .is_some_and(|line| line.contains("lines dropped")),
        "{:?}",
        flood.log.last()
    );

    assert_eq!(
        (index.state(), index.code()),
        ("failed", "call.not_attempted")
    );
    assert!(
        index.log.iter().any(|line| line.contains("4000000000")),
        "{:?}",
        index.log
    );
    index.expect_history();

    assert_eq!(twice.state(), "succeeded", "the first answer counts");
    assert!(
        twice.log.iter().any(|line| line.contains("twice")),
        "{:?}",
        twice.log
    );

    assert_eq!((ok.state(), ok.log.len()), ("succeeded", 0));
    Ok(())
}

#[tokio::test]
async fn neighbors_finish_despite_loop_and_sleep() -> Result<()> {
    let sleeper = HostileChannel::new("sleep")
        .channel("retry = { attempts = 1 }\ncall_timeout_ms = 3000\nrequest_timeout_ms = 3000");
    let host = hostile::start(
        &format!("{ONE_WORKER}cpu_budget_ms = 2500\n"),
        &[
            HostileChannel::new("loop"),
            sleeper,
            HostileChannel::new("ok"),
        ],
    )
    .await?;
    let rest = host.rest()?;
    let asleep = follow::submit(&rest, &upsert("sleep", "p1")).await?;
    follow::until_in_flight(&rest, &asleep).await?;
    let looping = follow::submit(&rest, &upsert("loop", "p1")).await?;
    follow::until_in_flight(&rest, &looping).await?;
    let neighbor = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(neighbor["status"], "succeeded", "{neighbor:#}");
    for bad in [&looping, &asleep] {
        let now = follow::look(&rest, bad).await?;
        assert_eq!(
            now["counts"]["in_flight"], 1,
            "the neighbor waited: {now:#}"
        );
    }
    let looped = only_job(&rest, &follow::until_done(&rest, &looping).await?).await?;
    assert_eq!(
        (looped.state(), looped.code()),
        ("failed", "guest.cpu_budget")
    );
    looped.expect_history();
    let slept = only_job(&rest, &follow::until_done(&rest, &asleep).await?).await?;
    assert_eq!((slept.state(), slept.code()), ("failed", "guest.deadline"));
    slept.expect_history();
    Ok(())
}

#[tokio::test]
async fn trap_after_a_write_is_unknown() -> Result<()> {
    let target = Target::start().await?;
    let twice = HostileChannel::new("trap_after_write")
        .setting("target_url", &target.url("/hold"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let twice = twice.channel("retry = { attempts = 2, base_ms = 1, max_ms = 1 }");
    let host = hostile::start(ONE_WORKER, &[twice, HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let held = follow::submit(&rest, &upsert("trap-after-write", "p1")).await?;
    target.until_arrived(1).await;
    let neighbor = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(neighbor["status"], "succeeded");
    assert_eq!(
        follow::look(&rest, &held).await?["counts"]["in_flight"],
        1,
        "the answer was not held back"
    );
    target.release();
    let end = only_job(&rest, &follow::until_done(&rest, &held).await?).await?;
    // The action is idempotent, so the host repeated the same bytes; then the outcome is unknown.
    assert_eq!(
        (end.state(), end.code(), &end.job["attempts"]),
        ("unknown", "answer.lost", &json!(2)),
        "{:#}",
        end.job
    );
    end.expect_history();
    let arrived = target.arrived();
    assert_eq!(
        arrived
            .iter()
            .map(|request| request.method.as_str())
            .collect::<Vec<_>>(),
        ["PUT", "PUT"]
    );
    assert_eq!(arrived[0].body, arrived[1].body);
    let keys: Vec<&Value> = end
        .events
        .iter()
        .filter(|event| event["stage"] == "sent")
        .map(|event| &event["detail"]["idempotency_key"])
        .collect();
    assert!(
        keys.len() == 2 && keys[0] == keys[1],
        "different keys: {keys:?}"
    );
    // An unknown head blocks its key, and the next job of the object reports it.
    let behind = follow::submit(&rest, &upsert("trap-after-write", "p1")).await?;
    let behind = follow::until_waits_for(&rest, &behind, "blocked").await?;
    assert_eq!(
        (&behind["state"], &behind["attempts"]),
        (&json!("waiting"), &json!(0)),
        "{behind:#}"
    );
    Ok(())
}

#[tokio::test]
async fn settled_items_survive_a_trap() -> Result<()> {
    let host = hostile::start(
        ONE_WORKER,
        &[
            HostileChannel::new("report_then_trap"),
            HostileChannel::new("missing_index"),
        ],
    )
    .await?;
    let rest = host.rest()?;
    let reported = three_in_one_call(&rest, "report-then-trap").await?;
    assert_eq!(
        reported.iter().map(Ended::state).collect::<Vec<_>>(),
        ["succeeded", "failed", "failed"]
    );
    for end in &reported[1..] {
        assert_eq!(end.code(), "guest.trap");
        end.expect_history();
    }
    let missing = three_in_one_call(&rest, "missing-index").await?;
    assert_eq!(
        missing.iter().map(Ended::state).collect::<Vec<_>>(),
        ["failed", "succeeded", "succeeded"]
    );
    assert_eq!(missing[0].code(), "call.not_attempted");
    missing[0].expect_history();
    // The other items of the call advanced, so it cost no attempt. The repeat alone did.
    assert_eq!(
        (
            missing[0]
                .stages()
                .iter()
                .filter(|stage| **stage == "sent")
                .count(),
            &missing[0].job["attempts"]
        ),
        (2, &json!(1))
    );
    Ok(())
}

#[tokio::test]
async fn trapping_body_spares_its_neighbors() -> Result<()> {
    let server = format!("{ONE_WORKER}[server.dispatch]\ntraps_after = 100\n");
    let poison =
        HostileChannel::new("poison").channel("retry = { attempts = 5, base_ms = 1, max_ms = 1 }");
    let host = hostile::start(&server, &[poison]).await?;
    let rest = host.rest()?;
    let ends = in_one_call(
        &rest,
        "poison",
        &["p1", "p2", "p3", "poison", "p5", "p6", "p7", "p8"],
    )
    .await?;
    for end in ends {
        let expected = if end.job["object"]["id"] == "poison" {
            "failed"
        } else {
            "succeeded"
        };
        assert_eq!(end.state(), expected, "{:#}", end.job);
        let last = end
            .events
            .iter()
            .rfind(|event| event["stage"] == "sent")
            .context("it was sent")?;
        assert!(
            expected == "succeeded" || last["detail"]["items"] == 1,
            "the last call was not alone: {last:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn echoed_secret_stays_hidden() -> Result<()> {
    const SECRET: &str = "s3cr3t-T0ken-of-the-shop";
    let target = Target::start().await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), SECRET)?;
    let auth = format!(
        "auth = {{ scheme = \"bearer\", token = {{ file = \"{}\" }} }}",
        file.path().display()
    );
    let echo = HostileChannel::new("echo_secret").setting("target_url", &target.url("/echo"));
    let host = hostile::start(
        "",
        &[echo
            .connection("allow_addresses = [\"127.0.0.1/32\"]")
            .connection(&auth)],
    )
    .await?;
    let rest = host.rest()?;
    let execution = follow::submit_and_wait(&rest, &upsert("echo-secret", "p1")).await?;
    let end = only_job(&rest, &execution).await?;
    assert_eq!(
        (end.state(), end.code()),
        ("rejected", "echo"),
        "{:#}",
        end.job
    );
    assert_eq!(
        target.arrived()[0].authorization,
        format!("Bearer {SECRET}"),
        "the write did not arrive"
    );
    assert!(
        end.message().contains("***") && end.log.iter().any(|line| line.contains("***")),
        "{:#} {:?}",
        end.job,
        end.log
    );
    let connection: Value = rest
        .get("/v1/channels/echo-secret/connections/acme")
        .await?;
    let seen = [
        execution.to_string(),
        end.job.to_string(),
        json!(end.events).to_string(),
        connection.to_string(),
    ];
    for text in seen
        .into_iter()
        .chain([std::fs::read_to_string(host.directory().join("host.log"))?])
    {
        assert!(!text.contains(SECRET), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn secret_in_a_check_stays_hidden() -> Result<()> {
    const TOLD: &str = "t0ld-S3cret-of-the-guest";
    let server = "[server.dispatch]\ntraps_after = 1\nprobe_min_ms = 1\nprobe_max_ms = 1\n";
    let host = hostile::start(
        server,
        &[HostileChannel::new("trap").setting("check", "tell")],
    )
    .await?;
    let rest = host.rest()?;
    // The trap stops the connection, and only a check releases the second job.
    follow::submit_and_wait(&rest, &upsert("trap", "p1")).await?;
    follow::submit_and_wait(&rest, &upsert("trap", "p2")).await?;
    let log = std::fs::read_to_string(host.directory().join("host.log"))?;
    let works = log
        .lines()
        .find(|line| line.contains("connection works again"))
        .context("it was checked")?;
    assert!(works.contains("the account of ***"), "{works}");
    assert!(!log.contains(TOLD));
    Ok(())
}

#[tokio::test]
async fn secret_in_a_login_stays_hidden() -> Result<()> {
    const TOLD: &str = "t0ld-S3cret-of-the-guest";
    let tells = HostileChannel::new("ok")
        .setting("login", "tell")
        .connection("auth = { scheme = \"connector\", secrets = {} }");
    let host = hostile::start("", &[tells]).await?;
    let rest = host.rest()?;
    let execution = follow::submit(&rest, &upsert("ok", "p1")).await?;
    let job = follow::until_waits_for(&rest, &execution, "parked").await?;
    let connection: Value = rest.get("/v1/channels/ok/connections/acme").await?;
    assert!(
        connection.to_string().contains("*** is refused"),
        "{connection:#}"
    );
    let events = follow::events(&rest, &job).await?;
    let log = std::fs::read_to_string(host.directory().join("host.log"))?;
    for text in [
        job.to_string(),
        json!(events).to_string(),
        connection.to_string(),
        log,
    ] {
        assert!(!text.contains(TOLD), "{text}");
    }
    Ok(())
}

async fn three_in_one_call(rest: &Rest, channel: &str) -> Result<Vec<Ended>> {
    in_one_call(rest, channel, &["p1", "p2", "p3"]).await
}

/// Submits products for one call: the channel is paused until all are accepted.
async fn in_one_call(rest: &Rest, channel: &str, ids: &[&str]) -> Result<Vec<Ended>> {
    rest.send(rest.request(
        reqwest::Method::POST,
        &format!("/v1/channels/{channel}:pause"),
    ))
    .await?
    .expect(200)?;
    let lines: Vec<Value> = ids.iter().map(|id| upsert(channel, id)).collect();
    let execution = follow::bulk(rest, &lines, "").await?.expect(202)?.json;
    rest.send(rest.request(
        reqwest::Method::POST,
        &format!("/v1/channels/{channel}:resume"),
    ))
    .await?
    .expect(200)?;
    let done = follow::until_done(rest, &execution).await?;
    let mut ends = Vec::new();
    for job in follow::jobs(rest, &done).await? {
        let end = ended(rest, job).await?;
        let sent = end
            .events
            .iter()
            .find(|event| event["stage"] == "sent")
            .context("it was sent")?;
        assert_eq!(sent["detail"]["items"], ids.len(), "not one call: {sent:#}");
        ends.push(end);
    }
    Ok(ends)
}

async fn only_job(rest: &Rest, execution: &Value) -> Result<Ended> {
    let mut jobs = follow::jobs(rest, execution).await?;
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    ended(rest, jobs.remove(0)).await
}

async fn ended(rest: &Rest, job: Value) -> Result<Ended> {
    let events = follow::events(rest, &job).await?;
    let log = follow::log_lines(&events);
    Ok(Ended { job, events, log })
}
