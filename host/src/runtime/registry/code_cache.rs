//! Caches compiled code in `<cache_dir>/<digest>-<compatibility>.cwasm`. Loading it takes
//! milliseconds; compiling takes up to seconds.
//!
//! Compiled code runs with the host's own rights, so the host only loads code that it made. Each
//! file starts with an HMAC-SHA256 over its name and content, under a key that no guest and no API
//! user knows. If a file does not verify, the component is compiled again and the file replaced.
//! The compatibility hash in the name covers the engine's version and settings.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::runtime::runtime_settings::CacheKey;

pub struct CodeCache {
    engine: Engine,
    dir: PathBuf,
    key: hmac::Key,
    compatibility: String,
}

/// Where compiled code came from, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    Cache,
    Compiler,
}

const MAC_BYTES: usize = 32;

impl CodeCache {
    pub fn new(engine: &Engine, dir: &Path, key: &CacheKey) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            engine: engine.clone(),
            dir: dir.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key.0),
            compatibility: format!("{:016x}", hasher.finish()),
        }
    }

    /// Keeps code that this host's compiler made.
    pub fn keep(&self, digest: &str, code: &[u8]) {
        if let Err(error) = self.write(digest, code) {
            tracing::warn!(%digest, %error, "compiled code could not be cached");
        }
    }

    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir
            .join(format!("{digest}-{}.cwasm", self.compatibility))
    }

    /// The component's code, if there is any that verifies.
    pub fn read(&self, digest: &str) -> Option<Component> {
        let file = std::fs::read(self.path(digest)).ok()?;
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        if hmac::verify(&self.key, &self.signed(digest, code), mac).is_err() {
            tracing::warn!(%digest, "cached code does not verify; compiling the component again");
            return None;
        }
        self.load(code)
            .inspect_err(|error| tracing::warn!(%digest, %error, "cached code cannot be loaded"))
            .ok()
    }

    /// Loads code that this host's compiler made.
    pub fn load(&self, code: &[u8]) -> wasmtime::Result<Component> {
        #[expect(unsafe_code, reason = "this host compiled the code")]
        // SAFETY: `code` is a result of `Engine::precompile_component`. It came from a process that
        // this host started from its own program, or the MAC over it verified under a key that only
        // the host knows; and the verified bytes are the loaded bytes. The engine refuses the code
        // of other engine versions.
        unsafe {
            Component::deserialize(&self.engine, code)
        }
    }

    fn write(&self, digest: &str, code: &[u8]) -> std::io::Result<()> {
        /// Distinguishes writers of the same file.
        static WRITERS: AtomicU64 = AtomicU64::new(0);

        let mac = hmac::sign(&self.key, &self.signed(digest, code));
        std::fs::create_dir_all(&self.dir)?;
        let path = self.path(digest);
        let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
        let half = path.with_extension(format!("{}-{writer}.tmp", std::process::id()));
        let mut file = std::fs::File::create(&half)?;
        file.write_all(mac.as_ref())?;
        file.write_all(code)?;
        drop(file);
        std::fs::rename(&half, &path)
    }

    /// The authenticated bytes: the length of the name, the name, and the content.
    fn signed(&self, digest: &str, code: &[u8]) -> Vec<u8> {
        let name = format!("{digest}-{}", self.compatibility);
        let mut signed = Vec::with_capacity(8 + name.len() + code.len());
        signed.extend_from_slice(&(name.len() as u64).to_le_bytes());
        signed.extend_from_slice(name.as_bytes());
        signed.extend_from_slice(code);
        signed
    }
}
