//! What is no longer kept: 410 for an execution that was there once.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use reqwest::Method;

#[tokio::test]
async fn an_execution_past_its_time_is_gone() -> Result<()> {
    let host = hostile::start("[server.store]\nretention_ms = 0\n", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let done = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(done["expires_at"], done["completed_at"], "kept for no time at all");
    let path = follow::path_of(&done)?;
    for (method, path) in [(Method::GET, path.clone()), (Method::GET, format!("{path}/jobs")), (Method::POST, format!("{path}:cancel"))] {
        let answer = rest.send(rest.request(method, &path)).await?.expect(410)?;
        assert_eq!((answer.code(), answer.header("content-type")), ("gone", "application/problem+json"), "{path}");
    }
    Ok(())
}
