//! `sandbox`: the shop as a process.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::binary::Place;

#[tokio::test]
async fn sandbox_serves_until_a_signal() {
    let place = Place::new();
    place.write("scenario.toml", "account = \"acme\"\n");
    let mut child = place
        .command(&[
            "sandbox",
            "--scenario",
            "scenario.toml",
            "--listen",
            "127.0.0.1:0",
        ])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    let login = reqwest::Client::new()
        .post(format!("{url}/v1/login"))
        .json(&serde_json::json!({"api_key": "sandbox-key"}));
    let answer: serde_json::Value = login.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["account"], "acme");
    let pid = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn sandbox_refuses_an_invalid_scenario() {
    let place = Place::new();
    place.write("scenario.toml", "[faults]\nerror_5xx = 2\n");
    let ended = place
        .run(&[
            "sandbox",
            "--scenario",
            "scenario.toml",
            "--listen",
            "127.0.0.1:0",
        ])
        .await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "error: scenario.toml: `faults.error_5xx` is 2; a share must be between 0 and 1\n"
    );
}
