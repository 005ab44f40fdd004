//! The jobs of the measurements: upserts of products with a body of 1 KB in the request.

use std::fmt::Write as _;

use bytes::Bytes;

/// The bytes of one body.
pub(crate) const PAYLOAD_BYTES: usize = 1_024;
pub(crate) const SUBSCRIPTION: &str = "acme";
pub(crate) const CHANNEL: &str = "bench";

/// Jobs for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) jobs: usize,
    /// The number of partition keys; none: each object is a key.
    pub(crate) keys: Option<usize>,
}

impl Load {
    pub(crate) const fn of(jobs: usize) -> Self {
        Self { jobs, keys: None }
    }

    pub(crate) const fn keys(self, keys: usize) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    /// The body of a bulk request with the jobs from `first`, at most `count`.
    pub(crate) fn bulk(&self, first: usize, count: usize) -> Bytes {
        let mut text = format!(
            "{{\"defaults\":{{\"subscription\":\"{SUBSCRIPTION}\",\"channel\":\"{CHANNEL}\",\
             \"action\":\"upsert\",\"object_type\":\"product\",\"full\":true}}}}\n"
        );
        text.reserve(count * (PAYLOAD_BYTES + 100));
        for number in first..self.jobs.min(first + count) {
            let _ = write!(text, "{{\"object_ids\":[\"o{number}\"],");
            if let Some(keys) = self.keys {
                let _ = write!(text, "\"partition_key\":\"k{}\",", number % keys);
            }
            let _ = writeln!(text, "\"payload\":{}}}", payload(number));
        }
        text.into()
    }

    /// The body of `POST /v1/jobs`.
    pub(crate) fn single(number: usize) -> Bytes {
        format!(
            "{{\"subscription\":\"{SUBSCRIPTION}\",\"channel\":\"{CHANNEL}\",\"action\":\"upsert\",\
             \"object_type\":\"product\",\"full\":true,\"object_ids\":[\"o{number}\"],\
             \"payload\":{}}}",
            payload(number)
        )
        .into()
    }
}

/// A JSON object of [`PAYLOAD_BYTES`], different for each number.
pub(crate) fn payload(number: usize) -> String {
    format!(
        "{{\"text\":\"{number:x>width$}\"}}",
        width = PAYLOAD_BYTES - 11
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_has_its_length() {
        assert_eq!(payload(123_456).len(), PAYLOAD_BYTES);
    }
}
