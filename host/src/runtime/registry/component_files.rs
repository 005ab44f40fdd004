//! Keeps components on disk under their digests. A file is complete or absent: the host writes a
//! temporary file, flushes it to the disk and renames it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub struct ComponentFiles {
    dir: PathBuf,
}

impl ComponentFiles {
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("connectors"),
        }
    }

    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    /// Writes a component. When this returns, the component survives a power failure.
    pub async fn write(&self, digest: &str, wasm: Bytes) -> io::Result<()> {
        let (dir, path) = (self.dir.clone(), self.path(digest));
        blocking(move || {
            std::fs::create_dir_all(&dir)?;
            let half = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = std::fs::File::create(&half)?;
            file.write_all(&wasm)?;
            file.sync_all()?;
            std::fs::rename(&half, &path)?;
            // The rename is on the disk only after the folder is flushed.
            std::fs::File::open(&dir)?.sync_all()
        })
        .await
    }

    pub async fn read(&self, digest: &str) -> io::Result<Bytes> {
        let path = self.path(digest);
        blocking(move || std::fs::read(path).map(Bytes::from)).await
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
