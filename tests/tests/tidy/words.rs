//! Words: phrases that read translated, and British spellings, in all texts that people read.
//!
//! The texts are the documents, the contract, the SDK, the OpenAPI document, the snapshots of the
//! command line, and the comments and string literals of all Rust code.

use std::fs;

use super::code::prose;
use super::tree::{CODE, Source, files, root, sources};

/// A phrase, and its replacement.
const PHRASES: &[(&str, &str)] = &[
    ("whoever", "anyone who, the client that"),
    ("whomever", "anyone that"),
    ("whatever is", "every, any"),
    ("of late", "recent, recently"),
    ("under way", "in progress, running, in flight"),
    ("so many", "this many, the number of"),
    ("by itself", "automatically, alone, on its own"),
    ("by themselves", "automatically, alone, on their own"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("went on", "continued"),
    ("is told", "gets, receives, learns"),
    ("are told", "get, receive, learn"),
    ("as it stands", "current, unchanged"),
    ("where it stands", "the current state"),
    ("no longer is", "is no longer"),
    ("be it", "both … and …"),
    ("beforehand", "before, first"),
    ("thereof", "of it"),
    ("therein", "in it"),
    ("whereby", "by which"),
    ("beside", "next to, besides, alongside"),
    ("lest", "so that … not"),
    ("of its own accord", "automatically"),
    ("is there no longer", "no longer exists"),
    ("held against", "compared with"),
    ("holds against", "compares with"),
];

/// Beginnings of British words, and the American ones. `catalogue` and `cancelled` are public
/// names.
const SPELLINGS: &[(&str, &str)] = &[
    ("behaviour", "behavior"),
    ("colour", "color"),
    ("favour", "favor"),
    ("honour", "honor"),
    ("neighbour", "neighbor"),
    ("labour", "labor"),
    ("centre", "center"),
    ("metre", "meter"),
    ("defence", "defense"),
    ("licence", "license"),
    ("grey", "gray"),
    ("whilst", "while"),
    ("amongst", "among"),
    ("towards", "toward"),
    ("judgement", "judgment"),
    ("artefact", "artifact"),
    ("programme", "program"),
    ("fulfil ", "fulfill"),
    ("analyse", "analyze"),
    ("dialled", "dialed"),
    ("dialling", "dialing"),
    ("labelled", "labeled"),
    ("modelled", "modeled"),
    ("signalled", "signaled"),
    ("travelled", "traveled"),
    ("misspelt", "misspelled"),
    ("learnt", "learned"),
    ("recognis", "recogniz"),
    ("organis", "organiz"),
    ("initialis", "initializ"),
    ("normalis", "normaliz"),
    ("optimise", "optimize"),
    ("serialis", "serializ"),
    ("authoris", "authoriz"),
];

/// The file with the lists.
const LISTS: &str = "tests/tests/tidy/words.rs";

#[test]
fn texts_use_plain_american_english() {
    let code = sources(&CODE)
        .into_iter()
        .filter(|source| source.path != LISTS);
    let code = code.map(|source| (source.path, prose(&source.text)));
    let documents = documents().into_iter().map(|source| {
        let paragraphs = source.text.split("\n\n");
        let texts = paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        (source.path, texts.collect())
    });
    let found: Vec<String> = code
        .chain(documents)
        .flat_map(|(path, texts)| {
            let found = texts
                .iter()
                .flat_map(|text| bad_words(text))
                .collect::<Vec<_>>();
            found
                .into_iter()
                .map(move |found| format!("{path}: {found}"))
        })
        .collect();
    assert!(
        found.is_empty(),
        "{} phrases:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn documents() -> Vec<Source> {
    let mut documents = files(&["docs", "wit", "sdk", "connectors", "host", "tests"], "md");
    documents.extend(files(&["wit"], "wit"));
    documents.extend(files(&["docs"], "json"));
    documents.extend(files(&["host/src/cli"], "snap"));
    for name in [
        "README",
        "ARCHITECTURE",
        "CONTRIBUTING",
        "CHANGELOG",
        "SECURITY",
    ] {
        let path = format!("{name}.md");
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            documents.push(Source { path, text });
        }
    }
    documents
}

/// Each phrase in the text, with its context and its replacement.
fn bad_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let phrases = PHRASES
        .iter()
        .map(|(phrase, instead)| (*phrase, *instead, true));
    let spellings = SPELLINGS
        .iter()
        .map(|(word, instead)| (*word, *instead, false));
    let mut found = Vec::new();
    for (bad, instead, whole) in phrases.chain(spellings) {
        for (at, _) in lower.match_indices(bad) {
            let end = at + bad.len();
            let is_word = |char: char| char.is_alphanumeric() || char == '_';
            let begins = !lower[..at].ends_with(is_word);
            let ends = !whole || !lower[end..].starts_with(is_word);
            if begins && ends {
                let before = lower[..at]
                    .char_indices()
                    .rev()
                    .nth(30)
                    .map_or(0, |(at, _)| at);
                let after = lower[end..]
                    .char_indices()
                    .nth(30)
                    .map_or(lower.len(), |(n, _)| end + n);
                found.push(format!("…{}… → {instead}", &lower[before..after]));
            }
        }
    }
    found
}

#[test]
fn bad_word_is_found() {
    let found = bad_words("The host goes on by itself. Its behaviours differ.");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().any(|found| found.ends_with("→ continues")),
        "{found:?}"
    );
    assert_eq!(
        bad_words("The cargo onboard is besides the point: nearest is_told."),
        [""; 0]
    );
}
