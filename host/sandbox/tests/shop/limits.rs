//! Limits over HTTP. Their periods are long, so that no test waits for one to pass. The unit tests
//! of `arrivals/limits` test the arithmetic with explicit stamps.

use reqwest::{Method, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{ShopClient, category, code, send};

fn waits(response: &Response) -> (u64, u64) {
    let number = |name| response.headers()[name].to_str().unwrap().parse().unwrap();
    (number("retry-after"), number("retry-after-ms"))
}

#[tokio::test]
async fn bucket_refuses_and_counts_excess_calls() {
    let bucket = "limits = [{ kind = \"token_bucket\", rate = 1, per_ms = 3600000, burst = 2 }]";
    let client = ShopClient::start(bucket).await;
    assert_eq!(client.put("/v1/category/a", &category("a")).await.0, 201);
    let request = client.request(Method::PUT, "/v1/category/b");
    let refused = send(request.json(&category("b"))).await;
    let (seconds, ms) = waits(&refused);
    assert_eq!(
        (refused.status().as_u16(), seconds),
        (429, ms.div_ceil(1000))
    );
    // The wait covers this call and the next.
    assert!(ms > 3_600_000 && ms <= 7_200_000, "{ms}");
    assert_eq!(
        code(&client.get("/v1/account").await),
        (429, "limit.exceeded")
    );

    let report = client.report();
    let limit = &report.limits[0];
    assert_eq!(
        (limit.kind.as_str(), limit.requests, limit.exceeded),
        ("token_bucket", 4, 2)
    );
    assert_eq!((report.limit_exceeded, limit.used), (2, None));
    assert_eq!((report.by_status[&429], report.objects["category"]), (2, 1));
    assert_eq!(client.get("/_sandbox/report").await.0, 200);
}

#[tokio::test]
async fn limits_apply_together_and_count_separately() {
    let limits = "limits = [{ kind = \"window\", max = 2, window_ms = 3600000 }, \
                  { kind = \"window\", max = 3, window_ms = 7200000 }]";
    let client = ShopClient::open(limits).await;
    // Without a token: a call answered 401 counts, too.
    for expected in [401, 401, 429, 429] {
        assert_eq!(client.get("/v1/account").await.0, expected);
    }
    let report = client.report();
    let exceeded: Vec<_> = report.limits.iter().map(|limit| limit.exceeded).collect();
    assert_eq!((exceeded, report.limit_exceeded), (vec![2, 1], 2));
}

#[tokio::test]
async fn token_calls_count_if_the_scenario_says_so() {
    for (count_tokens, expected) in [(false, [401, 401, 401]), (true, [401, 429, 429])] {
        let window = "limits = [{ kind = \"window\", max = 1, window_ms = 3600000 }]";
        let client = ShopClient::open(&format!("count_tokens = {count_tokens}\n{window}")).await;
        let url = format!("http://{}/oauth/token", client.shop.addr());
        let form = [("grant_type", "client_credentials")];
        for status in expected {
            assert_eq!(
                send(client.http.post(&url).form(&form)).await.status(),
                status
            );
        }
        let report = client.report();
        let counted = if count_tokens { 3 } else { 0 };
        assert_eq!((report.calls, report.counted_calls), (3, counted));
    }
}

#[tokio::test]
async fn concurrency_counts_from_head_to_answer() {
    let client = ShopClient::start("limits = [{ kind = \"concurrency\", max = 1 }]").await;
    let body = category("a").to_string();
    let (first, rest) = body.split_at(5);
    let mut open = client
        .send_raw("PUT /v1/category/a", body.len(), first)
        .await;
    client
        .last_call(|call| call["method"] == "PUT" && call["end"] == "open")
        .await;
    assert_eq!(
        code(&client.get("/v1/account").await),
        (429, "limit.exceeded")
    );

    open.write_all(rest.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    open.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 201");
    assert_eq!(client.get("/v1/account").await.0, 200);
    assert_eq!(client.report().limits[0].exceeded, 1);
}

#[tokio::test]
async fn abandoned_call_is_no_longer_open() {
    let client = ShopClient::start("limits = [{ kind = \"concurrency\", max = 1 }]").await;
    let open = client.send_raw("PUT /v1/category/a", 50, "{").await;
    client.last_call(|call| call["end"] == "open").await;
    drop(open);
    client.last_call(|call| call["end"] != "open").await;
    assert_eq!(client.get("/v1/account").await.0, 200);
    assert_eq!(client.report().limit_exceeded, 0);
}

#[tokio::test]
async fn refused_call_with_a_long_body_gets_its_answer() {
    let client =
        ShopClient::start("limits = [{ kind = \"window\", max = 1, window_ms = 3600000 }]").await;
    let long = category(&"x".repeat(3_000_000));
    for _ in 0..5 {
        assert_eq!(
            code(&client.put("/v1/category/a", &long).await),
            (429, "limit.exceeded")
        );
    }
}

#[tokio::test]
async fn cool_down_does_not_count_as_exceeded() {
    let client = ShopClient::start(
        "limits = [{ kind = \"window\", max = 3, window_ms = 3600000 }]\n\
         faults = { cool_downs = [{ after_calls = 2, ms = 1800000 }] }",
    )
    .await;
    // The call that starts the cool-down is served.
    assert_eq!(client.get("/v1/account").await.0, 200);
    let closed = send(client.request(Method::GET, "/v1/account")).await;
    let (seconds, ms) = waits(&closed);
    assert_eq!(
        (closed.status().as_u16(), seconds),
        (429, ms.div_ceil(1000))
    );
    assert!(ms <= 1_800_000, "{ms}");
    assert_eq!(client.report().limit_exceeded, 0);
    // The fourth call breaks the window, even during the cool-down.
    assert_eq!(client.get("/v1/account").await.0, 429);
    let report = client.report();
    assert_eq!((report.limit_exceeded, report.calls_while_closed), (1, 2));
    assert_eq!((report.calls, report.limits[0].exceeded), (4, 1));
    assert!(report.closures_ms <= report.span_ms);
    assert_eq!(
        client.change(&json!({"limits": [], "faults": {}})).await.0,
        204
    );
    assert_eq!(
        client.get("/v1/account").await.0,
        429,
        "a cool-down runs to its end"
    );
}
