//! A large bulk request costs little until the host knows that it is within the bounds.

use std::io::Write as _;

use anyhow::{Context, Result};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::{Value, json};

const BOUNDS: &str = "[server.api]\nmax_jobs_per_request = 6000\nstage_ahead_jobs = 1000\n";

/// A bulk in NDJSON, compressed: one line for each list of objects.
async fn submit(rest: &Rest, lines: &[Value]) -> Result<Answer> {
    let defaults = json!({"defaults": {
        "subscription": "acme", "channel": "ok", "action": "upsert", "object_type": "product",
    }});
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writeln!(gzip, "{defaults}")?;
    for line in lines {
        writeln!(gzip, "{line}")?;
    }
    let request = rest
        .request(Method::POST, "/v1/bulk")
        .header("content-type", "application/x-ndjson")
        .header("content-encoding", "gzip")
        .body(gzip.finish()?);
    rest.send(request).await
}

fn lines(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"object_ids": [format!("p{n}")], "payload": {"n": n}}))
        .collect()
}

/// Rows written to the store so far, including removed ones.
async fn rows(rest: &Rest) -> Result<f64> {
    let metrics = rest.metrics().await?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("egression_store_commit_rows_sum "))
        .context("the metric of the store's rows")?;
    Ok(line.trim().parse()?)
}

#[tokio::test]
async fn bulk_beyond_a_bound_is_refused_before_its_rows_are_written() -> Result<()> {
    let host = hostile::start(BOUNDS, &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let many_objects: Vec<String> = (0..3001).map(|n| format!("p{n}")).collect();
    let one_line = json!({"object_ids": many_objects, "action": "delete"});
    for lines in [lines(6001), vec![one_line.clone(), one_line]] {
        let before = rows(&rest).await?;
        let refused = submit(&rest, &lines).await?.expect(413)?;
        assert!(
            refused.text.contains("api.max_jobs_per_request"),
            "{}",
            refused.text
        );
        let written = rows(&rest).await? - before;
        assert!(written < 3000.0, "{written} rows were written and removed");
    }
    let all: Value = rest.get("/v1/executions").await?;
    assert_eq!(all["items"], json!([]), "{all}");
    Ok(())
}

#[tokio::test]
async fn bulk_within_the_bounds_is_stored_completely() -> Result<()> {
    let host = hostile::start(BOUNDS, &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let mut lines = lines(6000);
    // One is invalid after the part that was staged early.
    lines[4000] = json!({"object_ids": ["wrong"], "priority": 99});
    let accepted = submit(&rest, &lines).await?.expect(202)?;
    assert_eq!(accepted.json["counts"]["total"], 6000, "{}", accepted.text);
    assert_eq!(accepted.json["counts"]["rejected"], 1, "{}", accepted.text);
    let id = accepted.json["id"].as_str().context("an id")?;
    let path = format!("/v1/executions/{id}/jobs?limit=1000");
    let (mut next, mut index) = (path, 0);
    loop {
        let page: Value = rest.get(&next).await?;
        for job in page["items"].as_array().context("items")? {
            let expected = if index == 4000 {
                "wrong".to_owned()
            } else {
                format!("p{index}")
            };
            assert_eq!(job["object"]["id"], expected, "{job}");
            index += 1;
        }
        match page["next"].as_str() {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!(index, 6000);
    Ok(())
}
