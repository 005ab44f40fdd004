//! The rest of a large request. Once a part of a request is staged, the host only counts the
//! following items and keeps them in a temporary file, until the whole body has arrived. So a
//! request beyond a bound is refused before most of its rows are written.

use std::io;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufStream};

use super::receive::Intake;
use super::splitter::Piece;
use crate::api::http::problem::ApiError;
use crate::store::StoreError;

/// Read and written at once.
const BUFFER_BYTES: usize = 256 * 1024;

pub struct Rest {
    counting: Intake,
    /// Each item after its length. The file has no name, so it ends with the process.
    file: BufStream<File>,
    items: u64,
}

impl Rest {
    /// The rest of a request after what the intake has staged.
    pub fn after(intake: &Intake) -> Result<Self, ApiError> {
        let file = tempfile::tempfile_in(intake.directory()).map_err(failed)?;
        Ok(Self {
            counting: intake.counting(),
            file: BufStream::with_capacity(BUFFER_BYTES, BUFFER_BYTES, File::from_std(file)),
            items: 0,
        })
    }

    /// Errors: as those of [`Intake::piece`], or the file cannot be written.
    pub async fn piece(&mut self, piece: &Piece) -> Result<(), ApiError> {
        self.counting.piece(piece).await?;
        let Piece::Item(text) = piece else {
            return Ok(());
        };
        self.items += 1;
        self.file
            .write_u64_le(text.len() as u64)
            .await
            .map_err(failed)?;
        self.file.write_all(text).await.map_err(failed)
    }

    /// Stages the rest, which is within the bounds. Errors: items are refused and the client asked
    /// for strict handling, or the store fails.
    pub async fn stage(mut self, intake: &mut Intake) -> Result<(), ApiError> {
        self.counting.check_strict()?;
        // It can hold the request's idempotency key.
        drop(self.counting);
        self.file.flush().await.map_err(failed)?;
        self.file.rewind().await.map_err(failed)?;
        for _ in 0..self.items {
            let length = self.file.read_u64_le().await.map_err(failed)?;
            let mut text = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            self.file.read_exact(&mut text).await.map_err(failed)?;
            intake.piece(&Piece::Item(text)).await?;
        }
        Ok(())
    }
}

fn failed(error: io::Error) -> ApiError {
    let error = match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Disk(error.to_string()),
    };
    error.into()
}
