//! Health and readiness.

use super::harness::*;
use crate::api::operations;

#[tokio::test]
async fn health_needs_no_key() {
    let host = Host::start().await;
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 401)] {
        host.send(Request::get(path).body(Body::empty()).unwrap())
            .await
            .expect(status);
    }
    host.ready.send_replace(false);
    host.get("/readyz").await.has_code("not_ready");
    // This host has no metrics, so the request passes and finds nothing.
    for (path, status) in [("/livez", 200), ("/metrics", 404)] {
        let apart = operations(host.state.clone())
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(apart.status(), status, "{path}");
    }
}

#[tokio::test]
async fn metrics_need_a_key_that_reads_everything() {
    let host = Host::start().await;
    for (subscription, status) in [(None, 404), (Some("acme"), 403)] {
        let reader = key(&host.state, Role::Read, subscription).await;
        host.get("/metrics").by(&reader).await.expect(status);
    }
}

#[tokio::test]
async fn readyz_fails_when_the_store_cannot_write() {
    let host = Host::start().await;
    host.state.store.break_writer().await;
    let answer = host.get("/readyz").await;
    answer.expect(503).has_code("not_ready");
    host.get("/livez").await.expect(200);
}
