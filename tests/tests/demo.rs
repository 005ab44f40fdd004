//! The demo with a small part of its catalogue and all faults ends clean.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::process::Stdio;

use egression_tests::binary;
use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn small_demo_ends_clean() {
    let demo = binary::egression()
        .unwrap()
        .with_file_name("egression-demo");
    let mut command = Command::new(demo);
    command
        .args(["--objects", "400", "--output", "json"])
        .kill_on_drop(true)
        .stdout(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Printed if the test fails; standard error has the seed.
    print!("{text}");
    let verdict: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (verdict["expected"].as_u64(), verdict["present"].as_u64()),
        (Some(800), Some(800))
    );
    assert_eq!(output.status.code(), Some(0));
}
