//! Lists: pages with opaque cursors that miss and repeat nothing, filters, and NDJSON streams.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use egression_tests::binary;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::{Value, json};

const OBJECTS: usize = 130;

/// Follows `next` to the end, and returns the items and the number of pages.
async fn pages(rest: &Rest, first: &str) -> Result<(Vec<Value>, usize)> {
    let (mut items, mut count, mut path) = (Vec::new(), 0, Some(first.to_owned()));
    while let Some(this) = path {
        let page = rest
            .send(rest.request(Method::GET, &this))
            .await?
            .expect(200)?;
        path = page.json["next"].as_str().map(str::to_owned);
        let link = path
            .as_ref()
            .map(|next| format!("<{next}>; rel=\"next\""))
            .unwrap_or_default();
        assert_eq!(page.header("link"), link, "{this}");
        items.extend(
            page.json["items"]
                .as_array()
                .context("items")?
                .iter()
                .cloned(),
        );
        count += 1;
    }
    Ok((items, count))
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect()
}

#[tokio::test]
async fn pages_miss_nothing_and_repeat_nothing() -> Result<()> {
    let host = hostile::start(
        "",
        &[HostileChannel::new("ok"), HostileChannel::new("trap")],
    )
    .await?;
    let rest = host.rest()?;
    let lines: Vec<Value> = (0..OBJECTS)
        .map(|i| upsert("ok", &format!("p{i}")))
        .chain([upsert("trap", "p1"), upsert("nowhere", "p2")])
        .collect();
    let execution = follow::bulk(&rest, &lines, "").await?.expect(202)?.json;
    let done = follow::until_done(&rest, &execution).await?;
    assert_eq!(done["counts"]["total"], OBJECTS + 2);
    let jobs = format!("{}/jobs", follow::path_of(&execution)?);

    let (all, count) = pages(&rest, &format!("{jobs}?limit=50")).await?;
    assert_eq!((all.len(), count), (OBJECTS + 2, 3));
    assert_eq!(
        all.iter()
            .filter_map(|job| job["index"].as_u64())
            .collect::<Vec<_>>(),
        (0..OBJECTS as u64 + 2).collect::<Vec<_>>(),
        "in order"
    );
    assert_eq!(
        ids(&all).into_iter().collect::<BTreeSet<_>>().len(),
        OBJECTS + 2
    );
    // An exactly full page has an empty next page.
    let (exact, count) = pages(&rest, &format!("{jobs}?limit={}", (OBJECTS + 2) / 2)).await?;
    assert_eq!((ids(&exact), count), (ids(&all), 3));
    assert_eq!(
        follow::jobs(&rest, &execution).await?,
        all,
        "the stream has other jobs"
    );

    filters(&rest, &jobs).await?;
    wrong_parameters(&rest, &jobs).await?;
    executions(&rest).await?;
    objects(&rest).await
}

async fn filters(rest: &Rest, jobs: &str) -> Result<()> {
    for (filter, expected) in [
        ("state=failed", 1),
        ("state=failed,rejected", 2),
        ("state=failed&state=rejected", 2),
        ("state=waiting", 0),
        ("channel=trap", 1),
        ("channel=elsewhere", 0),
        ("object_id=p2", 2),
        ("object_id=p1&channel=ok", 1),
        ("object_type=category", 0),
        ("code=unknown_channel", 1),
        ("state=succeeded&limit=1000", OBJECTS),
    ] {
        let (found, _) = pages(rest, &format!("{jobs}?{filter}")).await?;
        assert_eq!(found.len(), expected, "{filter}");
    }
    // The cursor keeps the filter.
    let (found, count) = pages(rest, &format!("{jobs}?state=succeeded&limit=60")).await?;
    assert_eq!((found.len(), count), (OBJECTS, 3));
    // The error report: the target of the link `failed`, as a stream.
    let report = rest
        .request(
            Method::GET,
            &format!("{jobs}?state=failed,rejected,unknown"),
        )
        .header("accept", "application/x-ndjson");
    let report = rest.send(report).await?.expect(200)?;
    assert_eq!(
        (report.header("content-type"), report.text.lines().count()),
        ("application/x-ndjson", 2)
    );
    Ok(())
}

async fn wrong_parameters(rest: &Rest, jobs: &str) -> Result<()> {
    for (query, pointer) in [
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("cursor=nonsense", "?cursor"),
        ("state=done", "?state"),
        ("offset=5", "?offset"),
    ] {
        let answer = refused(rest, &format!("{jobs}?{query}")).await?;
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{query}");
    }
    // A cursor is valid for its own list only.
    let page: Value = rest.get(&format!("{jobs}?limit=1")).await?;
    let cursor = page["next"]
        .as_str()
        .and_then(|next| next.split("cursor=").nth(1))
        .context("a cursor")?;
    refused(rest, &format!("/v1/executions?cursor={cursor}")).await?;
    Ok(())
}

async fn refused(rest: &Rest, path: &str) -> Result<Answer> {
    rest.send(rest.request(Method::GET, path))
        .await?
        .expect(400)
}

async fn executions(rest: &Rest) -> Result<()> {
    for run in 0..7 {
        let mut job = upsert("ok", "paged");
        job["context"] = json!({"run": if run % 2 == 0 { "even" } else { "odd" }});
        follow::submit_and_wait(rest, &job).await?;
    }
    let (all, count) = pages(rest, "/v1/executions?limit=3").await?;
    assert_eq!((all.len(), count), (8, 3));
    let times: Vec<&str> = all
        .iter()
        .filter_map(|item| item["created_at"].as_str())
        .collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "not newest first: {times:?}"
    );
    for (filter, expected) in [
        ("context.run=even", 4),
        ("context.run=odd&limit=2", 3),
        ("context.run=none", 0),
        ("status=succeeded", 7),
        ("status=succeeded_with_errors", 1),
        ("status=queued,running", 0),
        ("subscription=acme&limit=8", 8),
    ] {
        let (found, _) = pages(rest, &format!("/v1/executions?{filter}")).await?;
        assert_eq!(found.len(), expected, "{filter}");
    }
    refused(rest, "/v1/executions?status=finished").await?;
    Ok(())
}

async fn objects(rest: &Rest) -> Result<()> {
    let (history, count) = pages(rest, "/v1/objects?type=product&id=paged&limit=3").await?;
    assert_eq!((history.len(), count), (7, 3));
    let times: Vec<&str> = history
        .iter()
        .filter_map(|job| job["timestamps"]["created_at"].as_str())
        .collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "not newest first: {times:?}"
    );
    let (both, _) = pages(rest, "/v1/objects?type=product&id=p1").await?;
    assert_eq!(
        both.iter()
            .filter_map(|job| job["channel"].as_str())
            .collect::<BTreeSet<_>>(),
        BTreeSet::from(["ok", "trap"])
    );
    refused(rest, "/v1/objects?type=product").await?;
    Ok(())
}

#[tokio::test]
async fn connectors_are_listed_in_pages() -> Result<()> {
    let host = hostile::start("", &[]).await?;
    for connector in ["sandbox", "schema-slots"] {
        host.install_connector(&binary::connector(connector)?)
            .await?;
    }
    let rest = host.rest()?;
    let (items, count) = pages(&rest, "/v1/connectors?limit=1").await?;
    let names: Vec<_> = items.iter().filter_map(|i| i["name"].as_str()).collect();
    assert_eq!(
        (names, count),
        (vec!["hostile", "sandbox", "schema-slots"], 3)
    );
    let (items, count) = pages(&rest, "/v1/connectors").await?;
    assert_eq!((items.len(), count), (3, 1));
    for wrong in ["limit=0", "cursor=x", "order=name"] {
        let path = format!("/v1/connectors?{wrong}");
        assert_eq!(rest.get_status(&path).await, Some(400), "{wrong}");
    }
    Ok(())
}
