//! Reads request bodies: media type, content encoding, bounds, deadline, and the hash that
//! identifies a repeated request.
//!
//! Decoding is streamed and bounded: a small body that expands without end is refused early.

use std::io::Write as _;

use aws_lc_rs::digest;
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use http::{HeaderMap, header};
use tokio::time::Instant;

use crate::api::http::problem::{ApiError, FieldError};
use crate::api::state::ApiState;

/// Compressed bytes to decode at once. Deflate expands at most about a thousandfold.
const DECODE_STEP_BYTES: usize = 2048;
/// Below this size the expansion ratio does not matter.
const RATIO_FREE_BYTES: u64 = 8 * 1024 * 1024;

/// U+FEFF in UTF-8.
pub const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyBounds {
    pub max_bytes: u64,
    /// The name of the setting, for the error.
    pub max_bytes_name: &'static str,
    pub max_ratio: u64,
    /// For the whole body.
    pub timeout_ms: u64,
    pub deadline: Instant,
}

impl BodyBounds {
    /// The bounds of a body that starts to arrive now.
    pub fn from_now(state: &ApiState, max_bytes: u64, max_bytes_name: &'static str) -> Self {
        let timeout_ms = state.settings.body_timeout_ms;
        let deadline = state.clock.instant(state.clock.mono().plus_ms(timeout_ms));
        Self {
            max_bytes,
            max_bytes_name,
            max_ratio: state.settings.gzip_max_ratio,
            timeout_ms,
            deadline,
        }
    }
}

pub struct BodyReader {
    stream: BodyDataStream,
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    pending: Bytes,
    received: u64,
    decoded: u64,
    hash: digest::Context,
    bounds: BodyBounds,
}

impl BodyReader {
    /// Errors: 415 for an encoding other than gzip, 413 if `Content-Length` exceeds the bound.
    pub fn new(headers: &HeaderMap, body: Body, bounds: BodyBounds) -> Result<Self, ApiError> {
        let coding = headers
            .get(header::CONTENT_ENCODING)
            .map_or("identity", |v| v.to_str().unwrap_or("?"))
            .trim()
            .to_ascii_lowercase();
        let decoder = match coding.as_str() {
            "" | "identity" => None,
            "gzip" | "x-gzip" => Some(MultiGzDecoder::new(Vec::new())),
            other => {
                return Err(ApiError::UnsupportedType(format!(
                    "unsupported Content-Encoding `{other}`, expected gzip or none"
                )));
            }
        };
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bounds.max_bytes) {
            return Err(too_large(&bounds));
        }
        let hash = digest::Context::new(&digest::SHA256);
        Ok(Self {
            stream: body.into_data_stream(),
            decoder,
            pending: Bytes::new(),
            received: 0,
            decoded: 0,
            hash,
            bounds,
        })
    }

    /// The next decoded bytes; `None` at the end. Errors: 408 after the deadline, 413 beyond a
    /// bound, 400 if the body is incomplete or not gzip.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if self.pending.is_empty() {
                let Some(chunk) = self.receive().await? else {
                    return self.end();
                };
                self.received += chunk.len() as u64;
                self.pending = chunk;
            }
            let bytes = self.decode()?;
            if bytes.is_empty() {
                continue;
            }
            self.decoded += bytes.len() as u64;
            self.check()?;
            self.hash.update(&bytes);
            return Ok(Some(bytes));
        }
    }

    /// SHA-256 of all decoded bytes.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.hash.finish().as_ref());
        hash
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, ApiError> {
        match tokio::time::timeout_at(self.bounds.deadline, self.stream.next()).await {
            Err(_) => Err(ApiError::BodyTimeout(self.bounds.timeout_ms)),
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(error))) => Err(ApiError::CutOff(error.to_string())),
        }
    }

    fn decode(&mut self) -> Result<Bytes, ApiError> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(std::mem::take(&mut self.pending));
        };
        let step = self
            .pending
            .split_to(self.pending.len().min(DECODE_STEP_BYTES));
        decoder.write_all(&step).map_err(|error| not_gzip(&error))?;
        Ok(Bytes::from(std::mem::take(decoder.get_mut())))
    }

    fn end(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(mut decoder) = self.decoder.take() else {
            return Ok(None);
        };
        decoder.try_finish().map_err(|_| {
            ApiError::CutOff(
                "the gzip data ends before its trailer or does not match it".to_owned(),
            )
        })?;
        let rest = Bytes::from(std::mem::take(decoder.get_mut()));
        self.decoded += rest.len() as u64;
        self.check()?;
        self.hash.update(&rest);
        Ok(Some(rest).filter(|r| !r.is_empty()))
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.decoded > self.bounds.max_bytes {
            return Err(too_large(&self.bounds));
        }
        if self.decoded > RATIO_FREE_BYTES
            && self.decoded > self.received.saturating_mul(self.bounds.max_ratio)
        {
            let detail = format!(
                "the body expands more than {} times (bound `api.gzip_max_ratio`)",
                self.bounds.max_ratio
            );
            return Err(ApiError::TooLarge(detail));
        }
        Ok(())
    }
}

/// The whole body and its hash.
pub async fn read_whole(
    headers: &HeaderMap,
    body: Body,
    bounds: BodyBounds,
) -> Result<(Vec<u8>, [u8; 32]), ApiError> {
    let mut reader = BodyReader::new(headers, body, bounds)?;
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok((whole, reader.finish()))
}

/// A text without its byte order mark, which a parser may ignore (RFC 8259, section 8.1).
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(text)
}

/// The media type of the body in lower case, without parameters.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Errors: 415 for another media type.
pub fn require_media_type(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let found = media_type(headers);
    if found == expected {
        return Ok(());
    }
    Err(ApiError::UnsupportedType(format!(
        "unsupported Content-Type `{found}`, expected {expected}"
    )))
}

/// Reads a JSON body. Errors: 415, 413, 408, or 400 with the place.
pub async fn read_json<T: serde::de::DeserializeOwned>(
    state: &ApiState,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ApiError> {
    require_media_type(headers, "application/json")?;
    let bounds = BodyBounds::from_now(
        state,
        state.settings.document_max_bytes,
        "api.document_max_bytes",
    );
    let (bytes, _) = read_whole(headers, body, bounds).await?;
    crate::api::http::json_pointer::read(without_mark(&bytes)).map_err(ApiError::malformed)
}

fn too_large(bounds: &BodyBounds) -> ApiError {
    ApiError::TooLarge(format!(
        "the body is larger than {} bytes (bound `{}`)",
        bounds.max_bytes, bounds.max_bytes_name
    ))
}

fn not_gzip(error: &std::io::Error) -> ApiError {
    ApiError::malformed(FieldError::new(
        "",
        "malformed_gzip",
        format!("the body is not gzip: {error}"),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
