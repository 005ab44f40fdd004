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
    let open = format!("{{\"jobs\":[{{}},{{\"a\":\"{long}");
    let mut splitter = Splitter::new(Framing::Json, BOUND);
    let error = splitter.feed(open.as_bytes(), &mut Vec::new()).unwrap_err();
    assert_eq!(
        error,
        SplitError::ItemTooLarge {
            pointer: "/jobs/1".into()
        }
    );
    let mut splitter = Splitter::new(Framing::Lines, BOUND);
    let error = splitter
        .feed(format!("{{}}\n{long}y").as_bytes(), &mut Vec::new())
        .unwrap_err();
    assert_eq!(
        error,
        SplitError::ItemTooLarge {
            pointer: "/jobs/1".into()
        }
    );
    let mut splitter = Splitter::new(Framing::Json, BOUND);
    let error = splitter
        .feed(format!("{{\"{long}y").as_bytes(), &mut Vec::new())
        .unwrap_err();
    assert_eq!(
        error,
        SplitError::ItemTooLarge {
            pointer: String::new()
        }
    );
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
    let whole = |framing, text: &[u8], step: usize| {
        let (mut splitter, mut pieces) = (Splitter::new(framing, 1000), Vec::new());
        for piece in text.chunks(step) {
            splitter.feed(piece, &mut pieces)?;
        }
        splitter.finish(&mut pieces)?;
        Ok::<_, SplitError>(pieces)
    };
    let item = || vec![Piece::Item(b"{\"a\":1}".to_vec())];
    for step in [1, 2, 100] {
        assert_eq!(
            whole(Framing::Lines, b"\xEF\xBB\xBF{\"a\":1}\n", step).unwrap(),
            item()
        );
        assert_eq!(
            whole(Framing::Json, b"\xEF\xBB\xBF{\"jobs\":[{\"a\":1}]}", step).unwrap(),
            item()
        );
        let defaults = whole(
            Framing::Lines,
            b"\xEF\xBB\xBF{\"defaults\":{}}\n{\"a\":1}",
            step,
        )
        .unwrap();
        assert_eq!(defaults[0], Piece::Defaults(b"{}".to_vec()));
        assert!(
            whole(
                Framing::Json,
                b"\xEF\xBB\xBF\xEF\xBB\xBF{\"jobs\":[]}",
                step
            )
            .is_err(),
            "one is enough"
        );
        assert!(
            whole(Framing::Json, b"\xEF\xBB{\"jobs\":[]}", step).is_err(),
            "half of one is none"
        );
    }
}
