//! Bodies in any number of pieces, compressed, too large, incomplete or mislabeled.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;

use super::*;

fn bounds(max_bytes: u64) -> BodyBounds {
    let clock = crate::clock::Clock::system();
    let deadline = clock.instant(clock.mono().plus_ms(60_000));
    BodyBounds {
        max_bytes,
        max_bytes_name: "api.bulk_max_bytes",
        max_ratio: 20,
        timeout_ms: 60_000,
        deadline,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn coded(coding: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
}

fn in_chunks(bytes: &[u8], step: usize) -> Body {
    let chunks: Vec<Result<Bytes, std::io::Error>> = bytes
        .chunks(step)
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    Body::from_stream(futures_util::stream::iter(chunks))
}

/// Reads a compressed body of at most 1 MiB.
async fn unpacked(body: impl Into<Body>) -> Result<(Vec<u8>, [u8; 32]), ApiError> {
    read_whole(&coded("gzip"), body.into(), bounds(1 << 20)).await
}

#[tokio::test]
async fn gzip_is_decoded_at_every_cut_and_hashed_decoded() {
    let text: Vec<u8> = (0..5000u32)
        .flat_map(|i| i.to_string().into_bytes())
        .collect();
    let plain = read_whole(&HeaderMap::new(), in_chunks(&text, 100), bounds(1 << 20))
        .await
        .unwrap();
    for step in [1, 7, 4096, 100_000] {
        let decoded = unpacked(in_chunks(&gzip(&text), step)).await.unwrap();
        assert_eq!(decoded, plain, "chunks of {step}");
    }
    let two_members = [gzip(&text[..10]), gzip(&text[10..])].concat();
    let decoded = unpacked(in_chunks(&two_members, 9)).await.unwrap();
    assert_eq!(decoded, plain);
}

#[tokio::test]
async fn gzip_that_is_truncated_or_invalid_is_refused() {
    let packed = gzip(&b"some text that repeats ".repeat(20));
    let mut broken = packed.clone();
    let last = broken.len() - 6;
    broken[last] ^= 1;
    for bytes in [
        &packed[..5],
        &packed[..packed.len() / 2],
        &packed[..packed.len() - 1],
        b"{\"jobs\":[]}",
        &broken,
    ] {
        let error = unpacked(bytes.to_vec()).await.unwrap_err();
        assert_eq!(error.status(), 400, "{} bytes: {error}", bytes.len());
    }
}

#[tokio::test]
async fn body_bounds_apply_after_decoding() {
    let zeros = vec![b' '; 1 << 20];
    for (headers, body) in [(coded("gzip"), gzip(&zeros)), (HeaderMap::new(), zeros)] {
        let read = read_whole(&headers, Body::from(body), bounds(1000)).await;
        assert_eq!(read.unwrap_err().status(), 413, "{headers:?}");
    }
    let many = vec![b' '; 9 << 20];
    let error = read_whole(&coded("gzip"), Body::from(gzip(&many)), bounds(1 << 30))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("api.gzip_max_ratio"), "{error}");
}

#[tokio::test]
async fn content_length_beyond_the_bound_is_refused_before_reading() {
    let headers =
        HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("1001"))]);
    let refused = BodyReader::new(&headers, Body::empty(), bounds(1000)).err();
    assert_eq!(refused.unwrap().status(), 413);
}

#[tokio::test]
async fn broken_connection_is_an_incomplete_body() {
    let chunks = [
        Ok(Bytes::from_static(b"{\"jobs\":[")),
        Err(std::io::Error::other("reset")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let read = read_whole(&HeaderMap::new(), body, bounds(1000)).await;
    assert!(matches!(read, Err(ApiError::CutOff(_))));
}

#[tokio::test]
async fn body_times_out() {
    let mut bounds = bounds(1000);
    bounds.deadline = crate::clock::Clock::system().instant(egression_core::time::Mono(0));
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let error = read_whole(&HeaderMap::new(), never, bounds)
        .await
        .unwrap_err();
    assert_eq!(error.status(), 408);
}

#[test]
fn content_encoding_and_media_type_are_checked() {
    let refused = BodyReader::new(&coded("br"), Body::empty(), bounds(10)).err();
    assert_eq!(refused.unwrap().status(), 415);
    let headers = HeaderMap::from_iter([(
        header::CONTENT_TYPE,
        HeaderValue::from_static("Application/JSON; charset=utf-8"),
    )]);
    assert!(require_media_type(&headers, "application/json").is_ok());
    let missing = require_media_type(&HeaderMap::new(), "application/json");
    assert_eq!(missing.unwrap_err().status(), 415);
}
