//! The part of a response that a guest sees: bounded, and without the secrets of its call.

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

use super::dial::RawResponse;
use crate::gate::credentials::redact::Redactor;
use crate::gate::exchange::Response;
use crate::gate::policy::request_shape;

/// Redacts a response and cuts it to `max_bytes`. If the call used a secret and the body's encoding
/// cannot be searched, the body is withheld: it is empty and `truncated` is set.
pub fn redacted(
    mut raw: RawResponse,
    redactor: &Redactor,
    max_bytes: u64,
    max_headers_bytes: u64,
) -> Response {
    let keep = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    if !redactor.is_empty() {
        raw = decompressed(raw, keep.saturating_add(redactor.overlap_bytes()));
    }
    let truncated = raw.more || raw.body.len() > keep;
    let body = if redactor.is_empty() {
        raw.body.slice(..raw.body.len().min(keep))
    } else {
        redactor.bytes(&raw.body, keep).into()
    };
    let (headers, left_out) = shown_headers(&raw.headers, redactor, max_headers_bytes);
    Response {
        status: raw.status,
        headers,
        body,
        truncated: truncated || left_out,
        duration_ms: raw.duration_ms,
    }
}

/// Removes a content encoding, so that the body can be searched.
fn decompressed(mut raw: RawResponse, keep: usize) -> RawResponse {
    let Some(coding) = raw.headers.get(CONTENT_ENCODING) else {
        return raw;
    };
    let coding = coding
        .to_str()
        .unwrap_or("unknown")
        .trim()
        .to_ascii_lowercase();
    let several = raw.headers.get_all(CONTENT_ENCODING).iter().count() > 1;
    let plain = match coding.as_str() {
        "identity" | "" if !several => return raw,
        "gzip" | "x-gzip" if !several => read_up_to(MultiGzDecoder::new(raw.body.as_ref()), keep),
        "deflate" if !several => read_up_to(ZlibDecoder::new(raw.body.as_ref()), keep),
        _ => (Vec::new(), true),
    };
    raw.headers.remove(CONTENT_ENCODING);
    raw.headers.remove(CONTENT_LENGTH);
    raw.more |= plain.1;
    raw.body = Bytes::from(plain.0);
    raw
}

/// At most `keep` bytes, and whether the rest is cut or unreadable.
fn read_up_to(mut decoder: impl std::io::Read, keep: usize) -> (Vec<u8>, bool) {
    let mut plain = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return (plain, false),
            Ok(read) => plain.extend_from_slice(&chunk[..read]),
            Err(_) => return (plain, true),
        }
        if plain.len() > keep {
            plain.truncate(keep);
            return (plain, true);
        }
    }
}

/// The headers that fit, and whether some do not.
fn shown_headers(
    headers: &HeaderMap,
    redactor: &Redactor,
    max_bytes: u64,
) -> (Vec<(String, String)>, bool) {
    let all = request_shape::header_bytes(headers);
    let mut left = max_bytes;
    let mut shown = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let bytes = (name.as_str().len() + value.len() + 4) as u64;
        let Some(rest) = left.checked_sub(bytes) else {
            break;
        };
        left = rest;
        shown.push((
            name.as_str().to_owned(),
            redactor.text(&String::from_utf8_lossy(value.as_bytes())),
        ));
    }
    (shown, all as u64 > max_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;
    use secrecy::SecretString;

    use super::*;

    fn raw(body: &[u8], coding: Option<&'static str>) -> RawResponse {
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", HeaderValue::from_static("token hunter2-hunter2"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        RawResponse {
            status: 200,
            headers,
            body: Bytes::copy_from_slice(body),
            more: false,
            duration_ms: 1,
        }
    }

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(&SecretString::from("hunter2-hunter2"));
        redactor
    }

    #[test]
    fn compressed_body_is_searched_or_withheld() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(b"you said hunter2-hunter2").unwrap();
        let packed = packer.finish().unwrap();
        let answer = redacted(raw(&packed, Some("gzip")), &redactor(), 1000, 1000);
        assert_eq!(
            (answer.body.as_ref(), answer.truncated),
            (&b"you said ***"[..], false)
        );
        assert_eq!(
            answer.headers,
            vec![("x-echo".to_owned(), "token ***".to_owned())]
        );

        let answer = redacted(raw(&packed, Some("br")), &redactor(), 1000, 1000);
        assert!(answer.body.is_empty() && answer.truncated);
        let answer = redacted(raw(&packed, Some("gzip")), &Redactor::default(), 1000, 1000);
        assert_eq!(
            (answer.body.as_ref(), answer.headers.len()),
            (packed.as_slice(), 2)
        );
    }

    #[test]
    fn compressed_body_stays_within_the_bound() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&vec![b'a'; 10_000_000]).unwrap();
        let answer = redacted(
            raw(&packer.finish().unwrap(), Some("gzip")),
            &redactor(),
            1000,
            1000,
        );
        assert_eq!((answer.body.len(), answer.truncated), (1000, true));
    }

    #[test]
    fn headers_beyond_the_bound_are_omitted() {
        let answer = redacted(raw(b"", None), &Redactor::default(), 10, 10);
        assert!(answer.headers.is_empty() && answer.truncated);
    }
}
