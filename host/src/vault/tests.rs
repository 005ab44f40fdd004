//! What is kept comes back, and only to its owner, its name and its key.

#![allow(clippy::unwrap_used)]

use secrecy::{ExposeSecret, SecretString};

use super::memory::SecretsInMemory;
use super::*;

fn vault(rows: &SecretsInMemory, key: u8) -> Vault {
    Vault::new(
        &MasterKey::from_bytes([key; 32]),
        rows.clone(),
        Clock::system(),
    )
}

async fn put(vault: &Vault, owner: &str, name: &str, value: &str) -> i64 {
    vault
        .put(
            owner,
            name,
            SecretString::from(value),
            vec!["shop.example".to_owned()],
            None,
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn a_secret_survives_a_restart_and_is_not_stored_in_the_clear() {
    let rows = SecretsInMemory::default();
    assert_eq!(
        put(&vault(&rows, 1), "connection:7", "token", "hunter2-hunter2").await,
        1
    );
    let stored = rows.rows.lock().unwrap()[0].1.ciphertext.clone();
    assert!(!stored.windows(7).any(|w| w == b"hunter2"));

    let again = vault(&rows, 1);
    let secret = again.get("connection:7", "token").await.unwrap().unwrap();
    assert_eq!(secret.value.expose_secret(), "hunter2-hunter2");
    assert_eq!(
        (secret.generation, secret.bound_hosts),
        (1, vec!["shop.example".to_owned()])
    );
    assert!(again.get("connection:7", "other").await.unwrap().is_none());
    assert!(again.get("connection:8", "token").await.unwrap().is_none());
}

#[tokio::test]
async fn a_changed_moved_or_foreign_ciphertext_does_not_open() {
    let rows = SecretsInMemory::default();
    put(&vault(&rows, 1), "connection:7", "token", "hunter2").await;
    let original = rows.rows.lock().unwrap()[0].clone();

    for byte in 0..original.1.ciphertext.len() {
        rows.rows.lock().unwrap()[0].1.ciphertext[byte] ^= 1;
        let opened = vault(&rows, 1).get("connection:7", "token").await;
        assert!(
            matches!(opened, Err(VaultError::Unreadable { .. })),
            "byte {byte}"
        );
        rows.rows.lock().unwrap()[0] = original.clone();
    }
    let other_key = vault(&rows, 2).get("connection:7", "token").await;
    assert!(matches!(other_key, Err(VaultError::Unreadable { .. })));
    rows.rows.lock().unwrap()[0].0 = "connection:8".to_owned();
    let moved = vault(&rows, 1).get("connection:8", "token").await;
    assert!(matches!(moved, Err(VaultError::Unreadable { .. })));
}

#[tokio::test]
async fn what_another_key_sealed_is_replaced_when_it_is_entered_again() {
    let rows = SecretsInMemory::default();
    for name in ["token", "client_secret"] {
        put(&vault(&rows, 1), "connection:7", name, "old").await;
    }
    let other = vault(&rows, 2);
    put(&other, "connection:7", "token", "new").await;
    assert!(
        matches!(other.get("connection:7", "token").await, Err(VaultError::Unreadable { name, .. }) if name == "client_secret")
    );
    put(&other, "connection:7", "client_secret", "new").await;
    for name in ["token", "client_secret"] {
        assert_eq!(
            other
                .get("connection:7", name)
                .await
                .unwrap()
                .unwrap()
                .value
                .expose_secret(),
            "new"
        );
    }
}

#[tokio::test]
async fn a_drop_hits_only_the_generation_that_it_names() {
    let rows = SecretsInMemory::default();
    let vault = vault(&rows, 1);
    put(&vault, "connection:7", "token", "one").await;
    assert_eq!(put(&vault, "connection:7", "token", "two").await, 2);
    assert_eq!(
        put(&vault, "connection:7", "token", "two").await,
        2,
        "the same is no new generation"
    );
    vault.drop("connection:7", "token", Some(1)).await.unwrap();
    assert_eq!(
        vault
            .get("connection:7", "token")
            .await
            .unwrap()
            .unwrap()
            .value
            .expose_secret(),
        "two"
    );
    vault.drop("connection:7", "token", Some(2)).await.unwrap();
    assert!(vault.get("connection:7", "token").await.unwrap().is_none());
    assert!(rows.rows.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_tag_names_owner_secret_and_generation_and_needs_the_key() {
    let rows = SecretsInMemory::default();
    let tag = vault(&rows, 1).tag("connection:7", "token", 1);
    assert_eq!(tag.len(), 32);
    assert_eq!(tag, vault(&rows, 1).tag("connection:7", "token", 1));
    for other in [
        vault(&rows, 1).tag("connection:8", "token", 1),
        vault(&rows, 1).tag("connection:7", "other", 1),
        vault(&rows, 1).tag("connection:7", "token", 2),
        vault(&rows, 2).tag("connection:7", "token", 1),
    ] {
        assert_ne!(tag, other);
    }
}

#[test]
fn sealed_bytes_open_in_their_context_only() {
    let vault = vault(&SecretsInMemory::default(), 1);
    let sealed = vault.seal_bytes("session:7", b"opaque").unwrap();
    assert_eq!(vault.open_bytes("session:7", &sealed).unwrap(), b"opaque");
    assert!(matches!(
        vault.open_bytes("session:8", &sealed),
        Err(VaultError::Tampered)
    ));
    assert!(matches!(
        vault.open_bytes("session:7", &sealed[..10]),
        Err(VaultError::Tampered)
    ));
    assert_ne!(sealed, vault.seal_bytes("session:7", b"opaque").unwrap());
}

#[test]
fn the_key_file_is_made_once_and_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let made = MasterKey::load_or_create(directory.path(), None, None).unwrap();
    let read = MasterKey::load_or_create(directory.path(), None, None).unwrap();
    assert_eq!(made.bytes(), read.bytes());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(directory.path().join("master.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_key_comes_from_the_file_named_then_from_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("given.key");
    std::fs::write(&file, format!("{}\n", "ab".repeat(32))).unwrap();
    let from_file =
        MasterKey::load_or_create(directory.path(), Some(&file), Some("nonsense")).unwrap();
    assert_eq!(from_file.bytes(), &[0xab; 32]);
    let base64 = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let from_variable = MasterKey::load_or_create(directory.path(), None, Some(base64)).unwrap();
    assert_eq!(from_variable.bytes(), &[1; 32]);
    let short = MasterKey::load_or_create(directory.path(), None, Some("abcd"));
    assert!(matches!(short, Err(KeyError::Shape { .. })));
    let absent = MasterKey::load_or_create(
        directory.path(),
        Some(&directory.path().join("absent")),
        None,
    );
    assert!(matches!(absent, Err(KeyError::File { .. })));
    assert!(!directory.path().join("master.key").exists());
}

/// Rows that do not answer for one owner until they are told to.
struct Held {
    rows: SecretsInMemory,
    until: tokio::sync::Semaphore,
    writing: tokio::sync::Semaphore,
}

#[async_trait::async_trait]
impl SecretFacts for std::sync::Arc<Held> {
    async fn put_secret(&self, owner: &str, name: &str, row: NewSecret) -> Result<i64, StoreError> {
        if owner == "connection:7" {
            self.writing.add_permits(1);
            self.until.acquire().await.unwrap().forget();
        }
        self.rows.put_secret(owner, name, row).await
    }

    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        self.rows.secrets(owner).await
    }

    async fn drop_secret(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), StoreError> {
        self.rows.drop_secret(owner, name, generation).await
    }
}

#[tokio::test]
async fn nobody_waits_for_what_another_owner_writes() {
    let semaphore = || tokio::sync::Semaphore::new(0);
    let held = std::sync::Arc::new(Held {
        rows: SecretsInMemory::default(),
        until: semaphore(),
        writing: semaphore(),
    });
    let vault = Vault::new(
        &MasterKey::from_bytes([1; 32]),
        std::sync::Arc::clone(&held),
        Clock::system(),
    );
    let theirs = vault.clone();
    let writing = tokio::spawn(async move { put(&theirs, "connection:7", "key", "hunter2").await });
    held.writing.acquire().await.unwrap().forget();
    let mine = async {
        put(&vault, "connection:8", "key", "mine").await;
        vault.get("connection:8", "key").await.unwrap().is_some()
    };
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(20), mine)
            .await
            .unwrap()
    );
    assert!(!writing.is_finished());
    held.until.add_permits(1);
    writing.await.unwrap();
    assert!(vault.get("connection:7", "key").await.unwrap().is_some());
}

async fn enter(vault: &Vault, value: &str, host: &str) -> bool {
    vault
        .enter(
            "connection:7",
            "refresh_token",
            SecretString::from(value),
            &[host.to_owned()],
        )
        .await
        .unwrap()
}

async fn kept(vault: &Vault) -> String {
    vault
        .get("connection:7", "refresh_token")
        .await
        .unwrap()
        .unwrap()
        .value
        .expose_secret()
        .to_owned()
}

async fn entry(vault: &Vault) -> Option<String> {
    vault.entry("connection:7", "refresh_token").await.unwrap()
}

#[tokio::test]
async fn what_a_connector_renewed_is_not_put_back_by_the_document_that_entered_it() {
    let rows = SecretsInMemory::default();
    let first = vault(&rows, 1);
    assert!(enter(&first, "entered", "shop.example").await);
    assert!(
        !enter(&first, "entered", "shop.example").await,
        "the same is no change"
    );
    let before = entry(&first).await;
    first
        .renew(
            "connection:7",
            "refresh_token",
            SecretString::from("rotated"),
            None,
            Vec::new(),
        )
        .await
        .unwrap();
    assert_eq!(
        entry(&first).await,
        before,
        "a renewal is the connector's own"
    );

    let restarted = vault(&rows, 1);
    assert!(!enter(&restarted, "entered", "shop.example").await);
    assert_eq!(
        (kept(&restarted).await, entry(&restarted).await),
        ("rotated".to_owned(), before.clone())
    );
    // For other hosts it is entered anew, and what succeeded it goes along.
    assert!(enter(&restarted, "entered", "other.example").await);
    assert_eq!(kept(&restarted).await, "rotated");
    assert_ne!(entry(&restarted).await, before);
    assert!(enter(&restarted, "another", "shop.example").await);
    assert_eq!(kept(&restarted).await, "another");
    assert_ne!(entry(&restarted).await, before);
}

#[tokio::test]
async fn a_secret_from_before_there_were_digests_stays_what_it_is() {
    let rows = SecretsInMemory::default();
    let vault = vault(&rows, 1);
    vault
        .put(
            "connection:7",
            "refresh_token",
            SecretString::from("old"),
            vec!["shop.example".to_owned()],
            None,
        )
        .await
        .unwrap();
    let before = entry(&vault).await;
    assert!(
        !enter(&vault, "old", "shop.example").await,
        "tokens that were made with it stay good"
    );
    vault
        .renew(
            "connection:7",
            "refresh_token",
            SecretString::from("rotated"),
            None,
            Vec::new(),
        )
        .await
        .unwrap();
    assert!(!enter(&vault, "old", "shop.example").await);
    assert_eq!(
        (kept(&vault).await, entry(&vault).await),
        ("rotated".to_owned(), before)
    );
}
