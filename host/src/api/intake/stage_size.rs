//! Collects items for one write to the store, and counts their bytes: in the chunk, and in the
//! whole request.
//!
//! The client sends a field of `defaults` once and every job stores it, so the size of the body
//! bounds nothing. The expanded size is counted.

use crate::api::http::problem::ApiError;
use crate::store::rows::{StagedItem, StagedJob};

/// Items in one write to the store.
const CHUNK_ITEMS: usize = 1000;
/// Counted for each item in addition to its texts, toward `stage_max_bytes`.
const ITEM_BYTES: u64 = 300;

/// The items of one write.
#[derive(Debug, Default)]
pub struct Chunk {
    items: Vec<StagedItem>,
    bytes: u64,
    /// The texts of all items of the request so far.
    expanded_bytes: u64,
}

impl Chunk {
    /// Errors: 413 if the texts of the request exceed `expanded_max_bytes`.
    pub fn push(&mut self, item: StagedItem, expanded_max_bytes: u64) -> Result<(), ApiError> {
        let texts = self.count(&item, expanded_max_bytes)?;
        self.bytes += ITEM_BYTES + texts;
        self.items.push(item);
        Ok(())
    }

    /// Counts an item that is not kept. Returns the bytes of its texts.
    pub fn count(&mut self, item: &StagedItem, expanded_max_bytes: u64) -> Result<u64, ApiError> {
        let texts = text_bytes(item);
        self.expanded_bytes += texts;
        if self.expanded_bytes > expanded_max_bytes {
            return Err(ApiError::TooLarge(format!(
                "the request expands to more than {expanded_max_bytes} bytes, with `defaults` and \
                 the item's fields copied to each job (bound `api.expanded_max_bytes`)"
            )));
        }
        Ok(texts)
    }

    /// A chunk without items that continues to count the texts of the request.
    pub const fn counting(&self) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            expanded_bytes: self.expanded_bytes,
        }
    }

    pub const fn expanded_bytes(&self) -> u64 {
        self.expanded_bytes
    }

    /// It has 1,000 items, or `stage_max_bytes`.
    pub const fn is_full(&self, stage_max_bytes: u64) -> bool {
        self.items.len() >= CHUNK_ITEMS || self.bytes >= stage_max_bytes
    }

    /// The items to write. Later items form the next chunk.
    pub fn take(&mut self) -> Vec<StagedItem> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

/// The bytes of an item's texts in the store.
fn text_bytes(item: &StagedItem) -> u64 {
    let bytes = match item {
        StagedItem::Job(job) => of_job(job),
        StagedItem::Refused {
            excerpt,
            object,
            problem,
            ..
        } => {
            let object = object
                .as_ref()
                .map_or(0, |object| object.object_type.len() + object.id.len());
            excerpt.len()
                + object
                + problem.code.len()
                + problem.message.len()
                + length(problem.pointer.as_ref())
        }
    };
    bytes as u64
}

fn of_job(job: &StagedJob) -> usize {
    let words = [
        &job.partition_key,
        &job.client_ref,
        &job.payload,
        &job.traceparent,
    ];
    let words: usize = words.into_iter().map(|word| length(word.as_ref())).sum();
    let context: usize = job
        .context
        .iter()
        .flatten()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let parents: usize = job
        .depends_on
        .iter()
        .map(|object| object.object_type.len() + object.id.len())
        .sum();
    words + context + parents + job.object.object_type.len() + job.object.id.len()
}

fn length(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use egression_core::domain::problem::Problem;

    use super::*;

    #[test]
    fn chunk_counts_the_bytes_of_its_texts() {
        let mut chunk = Chunk::default();
        let refused = |message: String| StagedItem::Refused {
            index: 0,
            excerpt: String::new(),
            object: None,
            problem: Problem::new("invalid_value", message),
        };
        chunk.push(refused("x".repeat(400)), 1000).unwrap();
        assert!(!chunk.is_full(1000));
        chunk.push(refused("x".repeat(400)), 1000).unwrap();
        assert!(chunk.is_full(1000), "two items and 800 bytes");
        assert_eq!(chunk.take().len(), 2);
        assert!(!chunk.is_full(1000));
        let error = chunk.push(refused("x".repeat(400)), 1000).unwrap_err();
        assert_eq!(
            error.status(),
            413,
            "all chunks of a request count together"
        );
    }
}
