//! The layers of the host: imports between the top-level folders of `host/src` only go down.

use super::imports::{Crate, example};
use super::tree::sources;

/// From the bottom to the top: the folders of a layer, and why it is there.
const LAYERS: [(&[&str], &str); 15] = [
    (
        &["clock", "rng"],
        "time and randomness, which all other parts take as arguments",
    ),
    (
        &["telemetry"],
        "log and metrics: takes labels, and knows no other part",
    ),
    (
        &["schemas"],
        "JSON Schemas, evaluated within bounds: knows neither connectors nor jobs",
    ),
    (
        &["store"],
        "the typed intentions and their SQL; the other parts decide by them",
    ),
    (
        &["vault"],
        "secrets at rest, which the store keeps encrypted",
    ),
    (
        &["documents"],
        "the configured documents, which gate, resolver and delivery read",
    ),
    (&["gate"], "every request that leaves the host"),
    (
        &["resolver", "runtime"],
        "bodies from sources, and connectors: both send through the gate",
    ),
    (
        &["delivery"],
        "one call from claim to settlement: calls resolver and runtime",
    ),
    (
        &["dispatch"],
        "decides who is next, and gives it to delivery",
    ),
    (&["api"], "submission and tracking: wakes dispatch"),
    (
        &["settings"],
        "the settings of the server: one section for each part below",
    ),
    (&["app"], "the only place that sees all parts"),
    (
        &["cli"],
        "the command line: starts the app, or calls the API of a running host",
    ),
    (&["main"], "the entry"),
];

#[test]
fn imports_go_down_only() {
    let upward = upward_imports(&Crate::read("host/src", sources(&["host/src"])));
    assert!(
        upward.is_empty(),
        "{} imports:\n{}",
        upward.len(),
        upward.join("\n")
    );
}

/// The height of a top-level folder; none if it is in no layer.
fn layer(folder: &str) -> Option<usize> {
    LAYERS
        .iter()
        .position(|(folders, _)| folders.contains(&folder))
}

fn upward_imports(krate: &Crate) -> Vec<String> {
    let mut upward = Vec::new();
    for (file, module, paths) in krate.paths() {
        // The root file is a table of contents.
        let Some(own) = module.first() else {
            continue;
        };
        let Some(height) = layer(own) else {
            upward.push(format!("{file}: `{own}` is in no layer"));
            continue;
        };
        for path in paths {
            let Some(used) = path.first().filter(|used| *used != own) else {
                continue;
            };
            if layer(used).is_some_and(|below| below >= height) {
                upward.push(format!("{file} imports {}", path.join("::")));
            }
        }
    }
    upward.sort();
    upward.dedup();
    upward
}

#[test]
fn upward_import_is_found() {
    let krate = example(&[
        (
            "store/mod.rs",
            "use crate::{clock::Clock, gate::{Gate, self as other}};",
        ),
        (
            "gate/mod.rs",
            "use crate::store::Store;\n#[cfg(test)]\nuse crate::api::Api;",
        ),
        ("vault/deep.rs", "fn f() { super::super::dispatch::run(); }"),
        ("attic/mod.rs", ""),
    ]);
    let expected = [
        "host/src/attic/mod.rs: `attic` is in no layer",
        "host/src/store/mod.rs imports gate",
        "host/src/store/mod.rs imports gate::Gate",
        "host/src/vault/deep.rs imports dispatch::run",
    ];
    assert_eq!(upward_imports(&krate), expected);
}
