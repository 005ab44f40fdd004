//! The master key: from a file or a variable, or created at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const KEY_BYTES: usize = 32;
/// The file in the data directory.
const FILE_NAME: &str = "master.key";

/// 32 bytes from which all other keys are derived. Its holder can read every secret of the store.
pub struct MasterKey([u8; KEY_BYTES]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or created.
    #[error("master key file {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The text is not a key.
    #[error("{origin}: a master key is 32 bytes, written as 64 hexadecimal digits or in base64")]
    Shape { origin: String },
    /// The system has no randomness.
    #[error("the system has no randomness for a master key")]
    Randomness,
}

impl MasterKey {
    /// Reads the key from `file`, or from `variable` (the value of `EGRESSION_MASTER_KEY`), or from
    /// `master.key` in the data directory, which is created with mode 0600 if it does not exist.
    /// Errors: [`KeyError`]. A configured file that does not exist is an error; no other key is
    /// created.
    pub fn load_or_create(
        data_dir: &Path,
        file: Option<&Path>,
        variable: Option<&str>,
    ) -> Result<Self, KeyError> {
        if let Some(path) = file {
            return Self::read(path);
        }
        if let Some(text) = variable {
            return Self::parse(text).ok_or_else(|| KeyError::Shape {
                origin: "EGRESSION_MASTER_KEY".to_owned(),
            });
        }
        let path = Self::file_in(data_dir);
        match Self::create(&path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Self::read(&path)
            }
            made => made,
        }
    }

    /// The file that [`Self::load_or_create`] creates.
    pub fn file_in(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    pub fn is_in(data_dir: &Path) -> bool {
        Self::file_in(data_dir).exists()
    }

    #[cfg(test)]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// A key for one purpose, which does not reveal the master key (HMAC-SHA256 of the purpose).
    pub fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.0);
        let mut derived = [0; KEY_BYTES];
        derived.copy_from_slice(aws_lc_rs::hmac::sign(&key, purpose.as_bytes()).as_ref());
        derived
    }

    pub(super) const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        warn_if_readable_by_others(path);
        Self::parse(&text).ok_or_else(|| KeyError::Shape {
            origin: path.display().to_string(),
        })
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let mut bytes = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Randomness)?;
        // Losing the key in a power cut would lose all secrets sealed under it, so it is on disk
        // before its first use.
        file.write_all(format!("{}\n", hex::encode(bytes)).as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        if let Some(directory) = path.parent() {
            fs::File::open(directory)
                .and_then(|d| d.sync_all())
                .map_err(failed)?;
        }
        Ok(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = hex::decode(text)
            .ok()
            .or_else(|| STANDARD.decode(text).ok())?;
        bytes.try_into().ok().map(Self)
    }
}

fn warn_if_readable_by_others(path: &Path) {
    #[cfg(unix)]
    if let Ok(meta) = fs::metadata(path)
        && std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0
    {
        tracing::warn!(
            path = %path.display(),
            "other users of this machine can read the master key file; set its mode to 0600"
        );
    }
}
