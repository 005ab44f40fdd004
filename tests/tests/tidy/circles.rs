//! Import circles: none among the files of the folders that decide and deliver.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::{Crate, Use, example};
use super::tree::sources;

/// Source folders of crates, and the folders in them without circles.
const FOLDERS: [(&str, &str); 3] = [
    ("host/src", "host/src/delivery/"),
    ("host/src", "host/src/gate/"),
    ("host/core/src", "host/core/src/scheduler/"),
];

#[test]
fn files_import_each_other_without_circles() {
    let found: Vec<String> = FOLDERS
        .iter()
        .flat_map(|(source, folder)| circles(&Crate::read(source, sources(&[source])), folder))
        .collect();
    assert!(found.is_empty(), "import circles:\n{}", found.join("\n"));
}

/// The shortest circle of each group of files that import each other.
fn circles(krate: &Crate, folder: &str) -> Vec<String> {
    let uses: Vec<Use> = krate
        .uses()
        .into_iter()
        .filter(|used| used.from.starts_with(folder) && used.to.starts_with(folder))
        .collect();
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for used in &uses {
        next.entry(&used.from).or_default().insert(&used.to);
    }
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for file in next.keys().copied() {
        if done.contains(file) {
            continue;
        }
        let Some(circle) = shortest_circle(&next, file) else {
            continue;
        };
        let group = reachable(&next, file);
        let group: BTreeSet<_> = group
            .into_iter()
            .filter(|other| reachable(&next, other).contains(file))
            .collect();
        found.push(format!(
            "{}({} files in this group)",
            described(&circle, &uses),
            group.len()
        ));
        done.extend(group);
    }
    found
}

/// The shortest way from a file back to it.
fn shortest_circle<'a>(
    next: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    start: &'a str,
) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for to in next.get(file).into_iter().flatten().copied() {
            if to == start {
                let mut circle = vec![start];
                let mut at = file;
                while at != start {
                    circle.push(at);
                    at = came_from[at];
                }
                circle.push(start);
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(to) {
                came_from.insert(to, file);
                queue.push_back(to);
            }
        }
    }
    None
}

fn reachable<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = next.get(start).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(next.get(file).into_iter().flatten());
        }
    }
    reached
}

/// One line per import, with the imported names.
fn described(circle: &[&str], uses: &[Use]) -> String {
    let lines = circle.windows(2).map(|pair| {
        let names: Vec<_> = uses
            .iter()
            .filter(|used| used.from == pair[0] && used.to == pair[1])
            .map(|used| used.name.as_str())
            .collect();
        format!(
            "{} imports {} from {}\n",
            pair[0],
            names.join(", "),
            pair[1]
        )
    });
    lines.collect()
}

#[test]
fn circle_is_found_with_its_names() {
    let parent = (
        "gate/mod.rs",
        "mod send;\npub struct Shared;\npub use send::Send;",
    );
    let circle = example(&[
        parent,
        ("gate/send.rs", "use super::Shared;\npub struct Send;"),
    ]);
    let found = circles(&circle, "host/src/gate/");
    assert!(
        found.len() == 1 && found[0].contains("imports Shared from"),
        "{found:?}"
    );

    let tree = example(&[
        (
            "gate/mod.rs",
            "mod send;\nmod shared;\npub use send::Send;\npub use shared::Shared;",
        ),
        ("gate/send.rs", "use super::Shared;\npub struct Send;"),
        ("gate/shared.rs", "pub struct Shared;"),
    ]);
    assert_eq!(circles(&tree, "host/src/gate/"), Vec::<String>::new());
}
