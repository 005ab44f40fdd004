//! Connectors that misbehave: their call ends by the rules, the history says how, and neighbours
//! finish while it still runs.

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::target::Target;
use serde_json::{Value, json};

/// One thread for all guests: a neighbour comes to run only because whoever computes gives way.
const ONE_WORKER: &str = "[server.runtime]\nworkers = 1\nmemory_bytes = 16777216\n";

/// A job and what is known of it when it has ended.
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

    /// The history has the call, the end, and the end's problem.
    fn is_told(&self) {
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
async fn each_ends_by_the_rules_and_its_history_says_how() -> Result<()> {
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
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "neighbour")).await?;
    assert_eq!(neighbour["status"], "succeeded", "{neighbour:#}");
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
    trap.is_told();

    assert_eq!((memory.state(), memory.code()), ("failed", "guest.memory"));
    memory.is_told();

    // A gigabyte of lines: whether the budget or the guest ends first is the machine's affair, what
    // is kept is not.
    assert!(
        flood.state() == "succeeded" || flood.code() == "guest.cpu_budget",
        "{:#}",
        flood.job
    );
    // Lines of 10 KB are cut to 2,048 bytes: the 64 KiB of a call hold 32 of them, and one says how
    // many were dropped.
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
    index.is_told();

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
async fn neighbours_finish_while_one_loops_and_one_sleeps() -> Result<()> {
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
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(neighbour["status"], "succeeded", "{neighbour:#}");
    for bad in [&looping, &asleep] {
        let now = follow::look(&rest, bad).await?;
        assert_eq!(
            now["counts"]["in_flight"], 1,
            "the neighbour did not wait for it: {now:#}"
        );
    }
    let looped = only_job(&rest, &follow::until_done(&rest, &looping).await?).await?;
    assert_eq!(
        (looped.state(), looped.code()),
        ("failed", "guest.cpu_budget")
    );
    looped.is_told();
    let slept = only_job(&rest, &follow::until_done(&rest, &asleep).await?).await?;
    assert_eq!((slept.state(), slept.code()), ("failed", "guest.deadline"));
    slept.is_told();
    Ok(())
}

#[tokio::test]
async fn a_trap_behind_a_write_is_unknown_and_never_success() -> Result<()> {
    let target = Target::start().await?;
    let twice = HostileChannel::new("trap_after_write")
        .setting("target_url", &target.url("/hold"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let twice = twice.channel("retry = { attempts = 2, base_ms = 1, max_ms = 1 }");
    let host = hostile::start(ONE_WORKER, &[twice, HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let held = follow::submit(&rest, &upsert("trap-after-write", "p1")).await?;
    target.until_arrived(1).await;
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(neighbour["status"], "succeeded");
    assert_eq!(
        follow::look(&rest, &held).await?["counts"]["in_flight"],
        1,
        "its answer is still held back"
    );
    target.release();
    let end = only_job(&rest, &follow::until_done(&rest, &held).await?).await?;
    // The action is idempotent, so it was repeated with the same bytes; then nobody knows.
    assert_eq!(
        (end.state(), end.code(), &end.job["attempts"]),
        ("unknown", "answer.lost", &json!(2)),
        "{:#}",
        end.job
    );
    end.is_told();
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
        "the same key: {keys:?}"
    );
    // An unknown head blocks its key, and the next job of the object says so.
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
async fn what_was_settled_before_a_trap_stays_and_what_was_not_is_never_success() -> Result<()> {
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
        end.is_told();
    }
    let missing = three_in_one_call(&rest, "missing-index").await?;
    assert_eq!(
        missing.iter().map(Ended::state).collect::<Vec<_>>(),
        ["failed", "succeeded", "succeeded"]
    );
    assert_eq!(missing[0].code(), "call.not_attempted");
    missing[0].is_told();
    // The others of its call advanced, so that call cost it nothing; it went again alone, and that
    // one did.
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
async fn a_body_that_traps_the_guest_takes_none_of_its_neighbours_along() -> Result<()> {
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
            "at last alone: {last:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_that_comes_back_is_seen_by_nobody() -> Result<()> {
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
        "the destination had it"
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
async fn a_secret_that_a_check_tells_is_seen_by_nobody() -> Result<()> {
    const TOLD: &str = "t0ld-S3cret-of-the-guest";
    let server = "[server.dispatch]\ntraps_after = 1\nprobe_min_ms = 1\nprobe_max_ms = 1\n";
    let host = hostile::start(
        server,
        &[HostileChannel::new("trap").setting("check", "tell")],
    )
    .await?;
    let rest = host.rest()?;
    // The trap stops the connection, and only a check lets the second job go.
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
async fn a_secret_that_a_login_tells_is_seen_by_nobody() -> Result<()> {
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

/// Submits products that leave together: the channel is paused until all are there.
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
        assert_eq!(
            sent["detail"]["items"],
            ids.len(),
            "all in one call: {sent:#}"
        );
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
