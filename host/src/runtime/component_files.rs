//! Components on disk, under their digests. A file is whole or not there: it is written beside its
//! place, brought to the disk and renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub(super) struct ComponentFiles {
    dir: PathBuf,
}

impl ComponentFiles {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("connectors"),
        }
    }

    pub(super) fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    /// Keeps a component; it survives a power failure when this returns.
    pub(super) async fn write(&self, digest: &str, wasm: Bytes) -> io::Result<()> {
        let (dir, path) = (self.dir.clone(), self.path(digest));
        blocking(move || {
            std::fs::create_dir_all(&dir)?;
            let half = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = std::fs::File::create(&half)?;
            file.write_all(&wasm)?;
            file.sync_all()?;
            std::fs::rename(&half, &path)?;
            // The rename itself is on the disk only when the folder is.
            std::fs::File::open(&dir)?.sync_all()
        })
        .await
    }

    pub(super) async fn read(&self, digest: &str) -> io::Result<Bytes> {
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
