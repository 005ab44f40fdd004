//! The vault returns a secret only to its owner, under its name and with its key.

#![allow(clippy::unwrap_used)]

use egression_core::domain::ids::{ConnectionId, Owner};
use secrecy::{ExposeSecret as _, SecretString};

use super::key::KeyError;
use super::*;
use crate::clock::Clock;
use crate::store::Store;
use crate::store::rows::NewSecret;

const SHOP: Owner = Owner::Connection(ConnectionId(7));
const OTHER: Owner = Owner::Connection(ConnectionId(8));

/// A store in a directory that is removed with it.
struct World {
    _directory: tempfile::TempDir,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Clock::system()).await;
        Self {
            store: store.unwrap(),
            _directory: directory,
        }
    }

    /// A vault that has read nothing yet.
    fn vault(&self, key: u8) -> Vault {
        let key = MasterKey::from_bytes([key; 32]);
        Vault::new(&key, self.store.clone(), Clock::system())
    }

    /// Stores a ciphertext as it is.
    async fn store(&self, owner: Owner, name: &str, ciphertext: Vec<u8>) {
        let row = NewSecret {
            ciphertext,
            bound_hosts: vec!["shop.example".to_owned()],
            expires_at: None,
            origin: None,
        };
        let owner = owner.to_string();
        self.store.put_secret(&owner, name, row).await.unwrap();
    }

    /// The ciphertexts of the shop's secrets.
    async fn ciphertexts(&self) -> Vec<Vec<u8>> {
        let rows = self.store.secrets(&SHOP.to_string()).await.unwrap();
        rows.into_iter().map(|row| row.ciphertext).collect()
    }
}

async fn put(vault: &Vault, owner: Owner, name: &str, value: &str) -> i64 {
    let hosts = vec!["shop.example".to_owned()];
    let secret = SecretInput::new(SecretString::from(value), hosts);
    vault.put(owner, name, secret).await.unwrap()
}

/// The value of a secret of the shop.
async fn value(vault: &Vault, name: &str) -> Option<String> {
    let secret = vault.get(SHOP, name).await.unwrap()?;
    Some(secret.value.expose_secret().to_owned())
}

#[tokio::test]
async fn secret_survives_a_restart_and_is_stored_as_ciphertext() {
    let world = World::new().await;
    let generation = put(&world.vault(1), SHOP, "token", "hunter2-hunter2").await;
    let stored = world.ciphertexts().await.remove(0);
    assert!(!stored.windows(7).any(|w| w == b"hunter2"));

    let again = world.vault(1);
    let secret = again.get(SHOP, "token").await.unwrap().unwrap();
    assert_eq!(secret.value.expose_secret(), "hunter2-hunter2");
    assert_eq!(
        (secret.generation, secret.bound_hosts),
        (generation, vec!["shop.example".to_owned()])
    );
    assert!(again.get(SHOP, "other").await.unwrap().is_none());
    assert!(again.get(OTHER, "token").await.unwrap().is_none());
}

#[tokio::test]
async fn changed_moved_or_foreign_ciphertext_does_not_open() {
    let world = World::new().await;
    put(&world.vault(1), SHOP, "token", "hunter2").await;
    let original = world.ciphertexts().await.remove(0);

    let other_key = world.vault(2).get(SHOP, "token").await;
    assert!(matches!(other_key, Err(VaultError::Unreadable { .. })));
    for byte in 0..original.len() {
        let mut changed = original.clone();
        changed[byte] ^= 1;
        world.store(SHOP, "token", changed).await;
        let opened = world.vault(1).get(SHOP, "token").await;
        assert!(
            matches!(opened, Err(VaultError::Unreadable { .. })),
            "byte {byte}"
        );
    }
    world.store(SHOP, "token", original.clone()).await;
    assert_eq!(
        value(&world.vault(1), "token").await,
        Some("hunter2".into())
    );
    world.store(OTHER, "token", original).await;
    let moved = world.vault(1).get(OTHER, "token").await;
    assert!(matches!(moved, Err(VaultError::Unreadable { .. })));
}

#[tokio::test]
async fn unreadable_secret_is_replaced_when_it_is_entered_again() {
    let world = World::new().await;
    for name in ["token", "client_secret"] {
        put(&world.vault(1), SHOP, name, "old").await;
    }
    let other = world.vault(2);
    put(&other, SHOP, "token", "new").await;
    assert!(
        matches!(other.get(SHOP, "token").await, Err(VaultError::Unreadable { name,
            .. }) if name == "client_secret")
    );
    put(&other, SHOP, "client_secret", "new").await;
    for name in ["token", "client_secret"] {
        assert_eq!(value(&other, name).await, Some("new".into()));
    }
}

#[tokio::test]
async fn drop_removes_only_the_named_generation() {
    let world = World::new().await;
    let vault = world.vault(1);
    let first = put(&vault, SHOP, "token", "one").await;
    let second = put(&vault, SHOP, "token", "two").await;
    assert!(second > first);
    let same = put(&vault, SHOP, "token", "two").await;
    assert_eq!(same, second, "an unchanged secret is no new generation");
    vault.drop(SHOP, "token", Some(first)).await.unwrap();
    assert_eq!(value(&vault, "token").await, Some("two".into()));
    vault.drop(SHOP, "token", Some(second)).await.unwrap();
    assert_eq!(value(&vault, "token").await, None);
    assert!(world.ciphertexts().await.is_empty());
}

#[tokio::test]
async fn tag_depends_on_owner_name_generation_and_key() {
    let world = World::new().await;
    let tag = world.vault(1).tag(SHOP, "token", 1);
    assert_eq!(tag.len(), 32);
    assert_eq!(tag, world.vault(1).tag(SHOP, "token", 1));
    for other in [
        world.vault(1).tag(OTHER, "token", 1),
        world.vault(1).tag(SHOP, "other", 1),
        world.vault(1).tag(SHOP, "token", 2),
        world.vault(2).tag(SHOP, "token", 1),
    ] {
        assert_ne!(tag, other);
    }
}

#[tokio::test]
async fn sealed_bytes_open_only_in_their_context() {
    let world = World::new().await;
    let vault = world.vault(1);
    let sealed = vault.seal_bytes("session:7", b"opaque").unwrap();
    assert_eq!(vault.open_bytes("session:7", &sealed).unwrap(), b"opaque");
    for (context, bytes) in [("session:8", &sealed[..]), ("session:7", &sealed[..10])] {
        let opened = vault.open_bytes(context, bytes);
        assert!(matches!(opened, Err(VaultError::Tampered)), "{context}");
    }
    assert_ne!(sealed, vault.seal_bytes("session:7", b"opaque").unwrap());
}

#[test]
fn key_file_is_created_once_and_readable_only_by_its_owner() {
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
fn key_comes_from_the_file_then_from_the_variable() {
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
    let file = directory.path().join("absent");
    let absent = MasterKey::load_or_create(directory.path(), Some(&file), None);
    assert!(matches!(absent, Err(KeyError::File { .. })));
    assert!(!directory.path().join("master.key").exists());
}

#[tokio::test]
async fn owners_do_not_wait_for_each_other() {
    let world = World::new().await;
    let vault = world.vault(1);
    // As a write of connection 7 holds it until the store answers.
    let slot = vault.slot(SHOP);
    let writing = slot.write().await;
    let other = async {
        put(&vault, OTHER, "key", "mine").await;
        vault.get(OTHER, "key").await.unwrap().is_some()
    };
    let limit = std::time::Duration::from_secs(20);
    assert!(tokio::time::timeout(limit, other).await.unwrap());
    drop(writing);
    put(&vault, SHOP, "key", "hunter2").await;
    assert!(vault.get(SHOP, "key").await.unwrap().is_some());
}

async fn enter(vault: &Vault, value: &str, host: &str) -> bool {
    let (value, hosts) = (SecretString::from(value), [host.to_owned()]);
    let entering = vault.enter(SHOP, "refresh_token", value, &hosts);
    entering.await.unwrap()
}

async fn renew(vault: &Vault, value: &str) {
    let value = SecretString::from(value);
    let renewal = vault.renew(SHOP, "refresh_token", value, None, Vec::new());
    renewal.await.unwrap();
}

async fn entry(vault: &Vault) -> Option<String> {
    vault.entry(SHOP, "refresh_token").await.unwrap()
}

#[tokio::test]
async fn renewed_secret_is_not_overwritten_by_the_entered_value() {
    let world = World::new().await;
    let first = world.vault(1);
    assert!(enter(&first, "entered", "shop.example").await);
    assert!(
        !enter(&first, "entered", "shop.example").await,
        "the same value is no change"
    );
    let before = entry(&first).await;
    renew(&first, "rotated").await;
    assert_eq!(entry(&first).await, before, "a renewal is not an entry");

    let restarted = world.vault(1);
    assert!(!enter(&restarted, "entered", "shop.example").await);
    assert_eq!(
        value(&restarted, "refresh_token").await,
        Some("rotated".into())
    );
    assert_eq!(entry(&restarted).await, before);
    // Entering it for other hosts is a change; the renewed value stays.
    assert!(enter(&restarted, "entered", "other.example").await);
    assert_eq!(
        value(&restarted, "refresh_token").await,
        Some("rotated".into())
    );
    assert_ne!(entry(&restarted).await, before);
    assert!(enter(&restarted, "another", "shop.example").await);
    assert_eq!(
        value(&restarted, "refresh_token").await,
        Some("another".into())
    );
    assert_ne!(entry(&restarted).await, before);
}

#[tokio::test]
async fn secret_without_digest_is_not_entered_again() {
    let world = World::new().await;
    let vault = world.vault(1);
    put(&vault, SHOP, "refresh_token", "old").await;
    let before = entry(&vault).await;
    assert!(
        !enter(&vault, "old", "shop.example").await,
        "tokens fetched with it stay valid"
    );
    renew(&vault, "rotated").await;
    assert!(!enter(&vault, "old", "shop.example").await);
    assert_eq!(value(&vault, "refresh_token").await, Some("rotated".into()));
    assert_eq!(entry(&vault).await, before);
}
