//! Entity tags: conditional reads and writes of documents, and the long poll of an execution.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::{Value, json};

async fn ask(
    rest: &Rest,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer> {
    let request = fields
        .iter()
        .fold(rest.request(method, path), |request, (name, value)| {
            request.header(*name, *value)
        });
    rest.send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

#[tokio::test]
async fn documents_change_only_from_the_read_version() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let path = "/v1/channels/shop";
    let document = |weight: u32| json!({"connector": "hostile", "max_calls": weight});

    let made = ask(
        &rest,
        Method::PUT,
        path,
        &[("if-none-match", "*")],
        Some(&document(1)),
    )
    .await?
    .expect(201)?;
    let first = made.header("etag").to_owned();
    assert_eq!(
        ask(
            &rest,
            Method::PUT,
            path,
            &[("if-none-match", "*")],
            Some(&document(2))
        )
        .await?
        .code(),
        "precondition_failed"
    );
    assert_eq!(
        ask(&rest, Method::GET, path, &[("if-none-match", &first)], None)
            .await?
            .status,
        304
    );
    let changed = ask(
        &rest,
        Method::PUT,
        path,
        &[("if-match", &first)],
        Some(&document(2)),
    )
    .await?
    .expect(200)?;
    let second = changed.header("etag").to_owned();
    assert_ne!(first, second);
    for stale in [&first[..], "\"4711\"", "no-tag"] {
        let refused = ask(
            &rest,
            Method::PUT,
            path,
            &[("if-match", stale)],
            Some(&document(3)),
        )
        .await?
        .expect(412)?;
        assert_eq!(refused.code(), "precondition_failed", "{stale}");
    }
    let read = ask(&rest, Method::GET, path, &[("if-none-match", &first)], None)
        .await?
        .expect(200)?;
    assert_eq!(
        (&read.json["max_calls"], read.header("etag")),
        (&json!(2), &second[..]),
        "a refused write changed the document"
    );
    assert_eq!(read.json["status"]["managed_by"], "api");
    // A document that was read can be written back, which changes nothing.
    let same = ask(
        &rest,
        Method::PUT,
        path,
        &[("if-match", &second)],
        Some(&read.json),
    )
    .await?
    .expect(200)?;
    assert_eq!(same.header("etag"), second);
    assert_eq!(
        ask(&rest, Method::DELETE, path, &[("if-match", &first)], None)
            .await?
            .status,
        412
    );
    ask(&rest, Method::DELETE, path, &[("if-match", &second)], None)
        .await?
        .expect(204)?;
    assert_eq!(
        ask(
            &rest,
            Method::PUT,
            path,
            &[("if-match", "*")],
            Some(&document(1))
        )
        .await?
        .status,
        412,
        "`If-Match: *` needs an existing document"
    );

    // REST cannot change documents from the configuration file.
    for (method, body) in [(Method::PUT, Some(document(1))), (Method::DELETE, None)] {
        let refused = ask(&rest, method, "/v1/channels/ok", &[], body.as_ref())
            .await?
            .expect(409)?;
        assert_eq!(refused.code(), "managed_by_file");
    }
    let wrong = ask(
        &rest,
        Method::PUT,
        path,
        &[],
        Some(&json!({"connector": "hostile", "max_call": 1})),
    )
    .await?
    .expect(400)?;
    assert_eq!(
        (
            &wrong.json["errors"][0]["pointer"],
            &wrong.json["errors"][0]["code"]
        ),
        (&json!("/max_call"), &json!("unknown_field"))
    );
    Ok(())
}

#[tokio::test]
async fn long_poll_ends_with_the_next_change() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    ask(&rest, Method::POST, "/v1/channels/ok:pause", &[], None)
        .await?
        .expect(200)?;
    let execution = follow::submit(&rest, &upsert("ok", "p1")).await?;
    let path = follow::path_of(&execution)?;
    let now = ask(&rest, Method::GET, &path, &[], None)
        .await?
        .expect(200)?;
    assert_eq!(
        (&now.json["status"], &now.json["done"]),
        (&json!("paused"), &json!(false))
    );
    assert!(
        now.header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0)
    );
    let tag = now.header("etag").to_owned();
    // Without a change, the wait ends with 304.
    let unchanged = ask(
        &rest,
        Method::GET,
        &path,
        &[("if-none-match", &tag), ("prefer", "wait=1")],
        None,
    )
    .await?;
    assert_eq!(
        (
            unchanged.status,
            unchanged.header("preference-applied"),
            unchanged.text.as_str()
        ),
        (304, "wait=1", "")
    );
    assert_eq!(unchanged.header("etag"), tag);
    // A change ends the wait early.
    let polling = tokio::spawn({
        let (rest, path, tag) = (rest.clone(), path.clone(), tag.clone());
        async move {
            ask(
                &rest,
                Method::GET,
                &path,
                &[("if-none-match", &tag), ("prefer", "wait=60")],
                None,
            )
            .await
        }
    });
    ask(&rest, Method::POST, "/v1/channels/ok:resume", &[], None)
        .await?
        .expect(200)?;
    let woken = polling.await??.expect(200)?;
    assert_ne!(woken.header("etag"), tag);
    // Without a tag, the request waits for the end.
    let done = ask(&rest, Method::GET, &path, &[("prefer", "wait=60")], None)
        .await?
        .expect(200)?;
    assert_eq!(
        (&done.json["status"], done.header("retry-after")),
        (&json!("succeeded"), "")
    );
    let last = done.header("etag").to_owned();
    assert_eq!(
        ask(&rest, Method::GET, &path, &[("if-none-match", &last)], None)
            .await?
            .status,
        304
    );
    Ok(())
}
