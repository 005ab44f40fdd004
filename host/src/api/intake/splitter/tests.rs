//! The splitter at every cut of the body and with every kind of malformed frame.

use super::*;

const BOUND: u64 = 100;

fn split(framing: Framing, body: &[u8], step: usize) -> Result<Vec<Piece>, SplitError> {
    let mut splitter = Splitter::new(framing, BOUND);
    let mut pieces = Vec::new();
    for chunk in body.chunks(step) {
        splitter.feed(chunk, &mut pieces)?;
    }
    splitter.finish(&mut pieces)?;
    Ok(pieces)
}

fn item(text: &str) -> Piece {
    Piece::Item(text.as_bytes().to_vec())
}

fn defaults(text: &str) -> Piece {
    Piece::Defaults(text.as_bytes().to_vec())
}

#[test]
fn splitter_finds_items_at_every_cut() {
    let body = r#" { "defaults" : {"a":{"b":[1,2]}} , "jobs" :
        [ {"id":"a]}\"{"} ,{"x":{"y":["é\\"]}}, {} ] } "#;
    let expected = [
        defaults(r#"{"a":{"b":[1,2]}}"#),
        item(r#"{"id":"a]}\"{"}"#),
        item(r#"{"x":{"y":["é\\"]}}"#),
        item("{}"),
    ];
    for step in 1..=body.len() {
        assert_eq!(
            split(Framing::Json, body.as_bytes(), step).unwrap(),
            expected,
            "chunks of {step}"
        );
    }
}

#[test]
fn splitter_finds_lines_at_every_cut() {
    let body = "{\"defaults\": {\"a\":1}}\r\n\n{\"b\":\"\\n\"}\n  {\"c\":3}";
    let expected = [
        defaults("{\"a\":1}"),
        item("{\"b\":\"\\n\"}"),
        item("  {\"c\":3}"),
    ];
    for step in 1..=body.len() {
        let found: Vec<_> = split(Framing::Lines, body.as_bytes(), step).unwrap();
        assert_eq!(found, expected, "chunks of {step}");
    }
}

#[test]
fn defaults_are_only_on_the_first_line() {
    let body = "{\"x\":1}\n{\"defaults\":{}}";
    assert_eq!(
        split(Framing::Lines, body.as_bytes(), 5).unwrap(),
        [item("{\"x\":1}"), item("{\"defaults\":{}}")]
    );
}

#[test]
fn incomplete_body_is_cut_off() {
    let body = r#"{"defaults":{"a":1},"jobs":[{"b":2},{"c":3}]}"#;
    for end in 0..body.len() {
        let error = split(Framing::Json, &body.as_bytes()[..end], 7).unwrap_err();
        assert!(
            matches!(error, SplitError::CutOff { .. }),
            "{end}: {error:?}"
        );
    }
}

#[test]
fn malformed_frame_is_refused_with_the_place() {
    for (body, pointer, code) in [
        ("[]", "", "malformed_json"),
        ("{\"jobs\":[]} x", "", "malformed_json"),
        ("{\"jobs\":{}}", "/jobs", "wrong_type"),
        ("{\"jobs\":null}", "/jobs", "wrong_type"),
        ("{\"defaults\":[],\"jobs\":[]}", "/defaults", "wrong_type"),
        ("{\"defaults\":{}}", "/jobs", "required"),
        ("{}", "/jobs", "required"),
        (
            "{\"jobs\":[],\"defaults\":{}}",
            "/defaults",
            "invalid_order",
        ),
        ("{\"jobs\":[],\"jobs\":[]}", "/jobs", "duplicate_field"),
        (
            "{\"defaults\":{},\"defaults\":{}}",
            "/defaults",
            "duplicate_field",
        ),
        ("{\"Jobs\":[]}", "/Jobs", "unknown_field"),
        ("{\"jobs\":[{} {}]}", "/jobs/1", "malformed_json"),
        ("{\"jobs\":[{},]}", "/jobs/1", "malformed_json"),
        ("{\"jobs\":[,{}]}", "/jobs/0", "malformed_json"),
        ("{\"jobs\":[{},4]}", "/jobs/1", "wrong_type"),
        ("{\"jobs\":[\"x\"]}", "/jobs/0", "wrong_type"),
        ("{\"jobs\" []}", "", "malformed_json"),
        ("{\"jobs\":[]]", "", "malformed_json"),
        ("{jobs:[]}", "", "malformed_json"),
    ] {
        match split(Framing::Json, body.as_bytes(), 3) {
            Err(SplitError::Malformed(error)) => assert_eq!(
                (error.pointer.as_str(), error.code.as_str()),
                (pointer, code),
                "{body}"
            ),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn item_beyond_the_bound_is_refused_before_its_end() {
    let long = "x".repeat(BOUND as usize);
    for (framing, start, place) in [
        (
            Framing::Json,
            format!("{{\"jobs\":[{{}},{{\"a\":\"{long}"),
            "/jobs/1",
        ),
        (Framing::Lines, format!("{{}}\n{long}y"), "/jobs/1"),
        (Framing::Json, format!("{{\"{long}y"), ""),
    ] {
        let mut splitter = Splitter::new(framing, BOUND);
        let fed = splitter.feed(start.as_bytes(), &mut Vec::new());
        let pointer = place.to_owned();
        assert_eq!(fed, Err(SplitError::ItemTooLarge { pointer }), "{start}");
    }
}

#[test]
fn defaults_line_allows_no_other_field() {
    assert!(
        matches!(split(Framing::Lines, b"{\"defaults\":{},\"x\":1}\n", 4),
            Err(SplitError::Malformed(e)) if e.pointer == "/x")
    );
}

#[test]
fn byte_order_mark_is_skipped_once_and_in_pieces() {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    for step in [1, 2, 100] {
        let marked = |framing, text: &[u8]| split(framing, &[MARK, text].concat(), step);
        let one = [item("{\"a\":1}")];
        assert_eq!(marked(Framing::Lines, b"{\"a\":1}\n").unwrap(), one);
        assert_eq!(
            marked(Framing::Json, b"{\"jobs\":[{\"a\":1}]}").unwrap(),
            one
        );
        let lines = marked(Framing::Lines, b"{\"defaults\":{}}\n{\"a\":1}");
        assert_eq!(lines.unwrap()[0], defaults("{}"));
        let twice = [MARK, b"{\"jobs\":[]}"].concat();
        assert!(marked(Framing::Json, &twice).is_err(), "one is enough");
        let half = split(Framing::Json, b"\xEF\xBB{\"jobs\":[]}", step);
        assert!(half.is_err(), "half of one is none");
    }
}
