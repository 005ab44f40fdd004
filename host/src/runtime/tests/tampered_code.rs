//! The cache only loads code that this host made.

use super::guest;
use crate::runtime::instance::wasm_engine;
use crate::runtime::registry::check_component::sha256;
use crate::runtime::registry::code_cache::CodeCache;
use crate::runtime::runtime_settings::{CacheKey, RuntimeSettings};

#[test]
fn code_cache_refuses_tampered_code() {
    let dir = tempfile::tempdir().unwrap();
    let key = CacheKey([1; 32]);
    let mut settings = RuntimeSettings::new(dir.path().to_owned(), key.clone());
    settings.slots = 1;
    let engine = wasm_engine::engine(&settings).unwrap();
    let cache = CodeCache::new(&engine, dir.path(), &key);
    let wasm = guest("hostile");
    let digest = sha256(&wasm);
    let code = engine.precompile_component(&wasm).unwrap();

    assert!(cache.read(&digest).is_none());
    cache.keep(&digest, &code);
    assert!(cache.read(&digest).is_some());

    let good = std::fs::read(cache.path(&digest)).unwrap();
    for place in [0, 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(cache.path(&digest), bad).unwrap();
        assert!(cache.read(&digest).is_none(), "byte {place}");
        cache.keep(&digest, &code);
        assert!(cache.read(&digest).is_some(), "the file was replaced");
    }
    std::fs::write(cache.path(&digest), &good[..10]).unwrap();
    assert!(cache.read(&digest).is_none(), "cut off");

    // A valid file under the name of another component.
    std::fs::write(cache.path(&digest), &good).unwrap();
    let other = "0".repeat(64);
    std::fs::copy(cache.path(&digest), cache.path(&other)).unwrap();
    assert!(cache.read(&other).is_none());
    // A file of another host.
    let other_host = CodeCache::new(&engine, dir.path(), &CacheKey([2; 32]));
    assert!(other_host.read(&digest).is_none());
}
