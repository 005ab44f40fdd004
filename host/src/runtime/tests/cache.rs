//! Compiled code on disk is loaded only as this host wrote it.

use super::super::compiled::{CodeCache, Origin};
use super::super::engine;
use super::super::examine::sha256;
use super::super::settings::{CacheKey, RuntimeSettings};
use super::guest;

#[test]
fn tampered_code_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let key = CacheKey([1; 32]);
    let mut settings = RuntimeSettings::new(dir.path().to_owned(), key.clone());
    settings.slots = 1;
    let engine = engine::engine(&settings).unwrap();
    let cache = CodeCache::new(&engine, dir.path(), &key);
    let wasm = guest("hostile");
    let digest = sha256(&wasm);
    let origin = |cache: &CodeCache, digest: &str| cache.load(digest, &wasm).unwrap().1;

    assert_eq!(origin(&cache, &digest), Origin::Compiler);
    assert_eq!(origin(&cache, &digest), Origin::Cache);

    let good = std::fs::read(cache.path(&digest)).unwrap();
    for place in [0, 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(cache.path(&digest), bad).unwrap();
        assert_eq!(origin(&cache, &digest), Origin::Compiler, "byte {place}");
        assert_eq!(
            origin(&cache, &digest),
            Origin::Cache,
            "the file was replaced"
        );
    }
    std::fs::write(cache.path(&digest), &good[..10]).unwrap();
    assert_eq!(origin(&cache, &digest), Origin::Compiler, "cut off");

    // A good file under the name of another component.
    let other = "0".repeat(64);
    std::fs::copy(cache.path(&digest), cache.path(&other)).unwrap();
    assert_eq!(origin(&cache, &other), Origin::Compiler);
    // And one of another host.
    let stranger = CodeCache::new(&engine, dir.path(), &CacheKey([2; 32]));
    assert_eq!(origin(&stranger, &digest), Origin::Compiler);
}
