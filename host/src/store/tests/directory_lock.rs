//! One host per data directory.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::World;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

const DIRECTORY: &str = "EGRESSION_TEST_HELD_DIRECTORY";

#[tokio::test]
async fn second_store_is_refused_with_the_holder() {
    let world = World::new().await;
    let second = Store::open(world.directory.path(), Clock::system()).await;
    let Err(StoreError::Held { holder }) = second else {
        panic!("{second:?}")
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    world.reopen().await;
}

/// The process that the next test kills; as a test it does nothing.
#[tokio::test]
async fn holder() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let _store = Store::open(&PathBuf::from(directory), Clock::system())
        .await
        .unwrap();
    println!("holding");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn lock_of_a_killed_host_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "store::tests::directory_lock::holder",
            "--exact",
            "--nocapture",
        ])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("holding")),
        "the holder opened its store"
    );
    let refused = Store::open(directory.path(), Clock::system()).await;
    let Err(StoreError::Held { holder: told }) = refused else {
        panic!("{refused:?}")
    };
    assert!(told.contains(&holder.id().to_string()), "{told}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    Store::open(directory.path(), Clock::system())
        .await
        .unwrap();
}
