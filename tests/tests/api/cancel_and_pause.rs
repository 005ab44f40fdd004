//! Cancel, pause and resume apply to waiting jobs. Jobs in flight keep their true outcome, and
//! ended jobs do not change.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use egression_tests::target::Target;
use reqwest::Method;
use serde_json::{Value, json};

async fn act(rest: &Rest, path: &str) -> Result<Answer> {
    rest.send(rest.request(Method::POST, path)).await
}

#[tokio::test]
async fn cancel_ends_waiting_jobs_only() -> Result<()> {
    let target = Target::start().await?;
    let slow = HostileChannel::new("reach")
        .setting("target_url", &target.url("/hold"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start(
        "",
        &[slow.channel("partition = \"channel\"\nmax_items = 1")],
    )
    .await?;
    let rest = host.rest()?;
    let lines: Vec<Value> = ["p1", "p2", "p3"]
        .into_iter()
        .map(|id| upsert("reach", id))
        .collect();
    let execution = follow::bulk(&rest, &lines, "").await?.expect(202)?.json;
    let path = follow::path_of(&execution)?;
    target.until_arrived(1).await;
    follow::until_in_flight(&rest, &execution).await?;

    let cancelling = act(&rest, &format!("{path}:cancel")).await?.expect(202)?;
    assert_eq!(
        cancelling.json["status"], "cancelling",
        "{}",
        cancelling.text
    );
    assert_eq!(
        (
            &cancelling.json["counts"]["in_flight"],
            &cancelling.json["counts"]["cancelled"]
        ),
        (&json!(1), &json!(2))
    );
    let job = follow::jobs(&rest, &execution).await?;
    let in_flight = act(
        &rest,
        &format!("/v1/jobs/{}:cancel", job[0]["id"].as_str().unwrap()),
    )
    .await?
    .expect(409)?;
    assert_eq!(in_flight.code(), "job_not_waiting");

    target.release();
    let done = follow::until_done(&rest, &execution).await?;
    assert_eq!(done["status"], "cancelled");
    assert_eq!(
        (&done["counts"]["rejected"], &done["counts"]["cancelled"]),
        (&json!(1), &json!(2)),
        "not the true outcome: {done:#}"
    );
    assert_eq!(target.arrived().len(), 1, "cancelled jobs were sent");
    let again = act(&rest, &format!("{path}:cancel")).await?.expect(200)?;
    assert_eq!(
        again.json["counts"], done["counts"],
        "a repeated cancel changes nothing"
    );
    for verb in ["pause", "resume"] {
        assert_eq!(
            act(&rest, &format!("{path}:{verb}"))
                .await?
                .expect(409)?
                .code(),
            "execution_done"
        );
    }
    let unknown = act(&rest, &format!("{path}:explode")).await?.expect(404)?;
    assert!(
        unknown.json["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(":cancel")),
        "{}",
        unknown.text
    );
    Ok(())
}

#[tokio::test]
async fn pause_holds_reports_itself_and_ends() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    // Due later, so that the pause comes first.
    let mut job = upsert("ok", "p1");
    job["scheduled_at"] = json!("2099-01-01T00:00:00Z");
    let scheduled = follow::submit(&rest, &job).await?;
    let job = follow::until_waits_for(&rest, &scheduled, "schedule").await?;
    let job_path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let cancelled = act(&rest, &format!("{job_path}:cancel"))
        .await?
        .expect(200)?;
    assert_eq!(cancelled.json["state"], "cancelled");
    assert_eq!(
        act(&rest, &format!("{job_path}:cancel"))
            .await?
            .expect(200)?
            .json["state"],
        "cancelled",
        "the pause has happened"
    );
    assert_eq!(
        follow::look(&rest, &scheduled).await?["status"],
        "cancelled"
    );

    for (pause, resume) in [
        ("/v1/channels/ok:pause", "/v1/channels/ok:resume"),
        (
            "/v1/channels/ok/connections/acme:pause",
            "/v1/channels/ok/connections/acme:resume",
        ),
    ] {
        act(&rest, pause).await?.expect(200)?;
        let execution = follow::submit(&rest, &upsert("ok", "p2")).await?;
        assert_eq!(
            follow::look(&rest, &execution).await?["status"],
            "paused",
            "{pause}"
        );
        follow::until_waits_for(&rest, &execution, "paused").await?;
        act(&rest, resume).await?.expect(200)?;
        assert_eq!(
            follow::until_done(&rest, &execution).await?["status"],
            "succeeded",
            "{resume}"
        );
    }

    // A paused execution holds only its own jobs.
    act(&rest, "/v1/channels/ok:pause").await?.expect(200)?;
    let held = follow::submit(&rest, &upsert("ok", "p3")).await?;
    let path = follow::path_of(&held)?;
    assert_eq!(
        act(&rest, &format!("{path}:pause"))
            .await?
            .expect(200)?
            .json["status"],
        "paused"
    );
    act(&rest, "/v1/channels/ok:resume").await?.expect(200)?;
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "p4")).await?;
    assert_eq!(neighbour["status"], "succeeded");
    let still = follow::look(&rest, &held).await?;
    assert_eq!(
        (&still["status"], &still["counts"]["waiting"]),
        (&json!("paused"), &json!(1)),
        "{still:#}"
    );
    act(&rest, &format!("{path}:resume")).await?.expect(200)?;
    assert_eq!(
        follow::until_done(&rest, &held).await?["status"],
        "succeeded"
    );
    Ok(())
}

#[tokio::test]
async fn in_flight_job_keeps_its_connection() -> Result<()> {
    let target = Target::start().await?;
    let host = hostile::start("", &[]).await?;
    let rest = host.rest()?;
    let channel = json!({
        "connector": "hostile", "retry": {"attempts": 1}, "partition": "channel", "max_items": 1,
    });
    rest.send(
        rest.request(Method::PUT, "/v1/channels/reach")
            .json(&channel),
    )
    .await?
    .expect(201)?;
    let path = "/v1/channels/reach/connections/acme";
    let settings = json!({"behave": "reach", "target_url": target.url("/hold")});
    let connection = json!({"settings": settings, "allow_addresses": ["127.0.0.1/32"]});
    rest.send(rest.request(Method::PUT, path).json(&connection))
        .await?
        .expect(201)?;
    let lines: Vec<Value> = ["p1", "p2"]
        .into_iter()
        .map(|id| upsert("reach", id))
        .collect();
    let execution = follow::bulk(&rest, &lines, "").await?.expect(202)?.json;
    target.until_arrived(1).await;
    follow::until_in_flight(&rest, &execution).await?;

    let removing = format!("{path}?cancel_jobs=true");
    let refused = rest
        .send(rest.request(Method::DELETE, &removing))
        .await?
        .expect(409)?;
    assert_eq!(
        (refused.code(), refused.header("retry-after")),
        ("jobs_in_flight", "1")
    );
    let detail = refused.json["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("1 jobs are in flight") && detail.contains("try again"),
        "{detail}"
    );
    target.release();
    let done = follow::until_done(&rest, &execution).await?;
    assert_eq!(
        (&done["counts"]["rejected"], &done["counts"]["cancelled"]),
        (&json!(1), &json!(1)),
        "{done:#}"
    );
    rest.send(rest.request(Method::DELETE, &removing))
        .await?
        .expect(204)?;
    Ok(())
}
