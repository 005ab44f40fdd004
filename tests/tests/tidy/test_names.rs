//! Test names: each begins with its subject, so that a list of tests groups by subject.

use super::code::without_text;
use super::tree::{CODE, sources};

/// First words that are no subject: articles, question words, pronouns, and other function words.
const NO_SUBJECTS: &[&str] = &[
    "a", "an", "the", "what", "who", "whose", "which", "where", "when", "why", "how", "whether",
    "it", "its", "they", "this", "that", "these", "those", "there", "no", "nothing", "nobody",
    "none", "without", "with", "after", "before", "behind", "beyond", "until", "while", "as", "at",
    "of", "for", "from", "to", "by", "under",
];

#[test]
fn test_names_begin_with_their_subject() {
    let named: Vec<String> = sources(&CODE)
        .into_iter()
        .flat_map(|source| {
            let names = misnamed(&without_text(&source.text));
            names
                .into_iter()
                .map(move |name| format!("{}: {name}", source.path))
        })
        .collect();
    assert!(
        named.is_empty(),
        "{} test names:\n{}",
        named.len(),
        named.join("\n")
    );
}

/// The tests whose first word is no subject.
fn misnamed(code: &str) -> Vec<String> {
    let marks = code.match_indices("#[").filter(|(at, _)| {
        let attribute = code[at + 2..].split(['(', ']']).next().unwrap_or_default();
        matches!(attribute.trim(), "test" | "tokio::test")
    });
    let names = marks.filter_map(|(at, _)| {
        let (_, after) = code[at..].split_once("fn ")?;
        let name = after
            .split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .next()?;
        let first = name.split('_').next()?;
        NO_SUBJECTS.contains(&first).then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn name_without_subject_is_found() {
    let code =
        "#[test]\nfn a_job_waits() {}\n#[tokio::test(flavor = \"x\")]\nasync fn when_due() {}";
    assert_eq!(misnamed(code), ["a_job_waits", "when_due"]);
    assert!(misnamed("#[test]\nfn job_waits() {}\nfn a_helper() {}").is_empty());
}
