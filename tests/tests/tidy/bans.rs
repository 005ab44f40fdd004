//! Words that belong to one part of the code: SQL to the store, wasmtime to the runtime, axum to
//! the API, connections to the gate, clocks to the clock files.

use super::code::product_code;
use super::tree::{Source, is_test_file, sources};

/// Words of product code, the folders that must not use them, and the exceptions.
struct Ban {
    words: &'static [&'static str],
    folders: &'static [&'static str],
    except: &'static [&'static str],
}

const SQL: Ban = Ban {
    words: &["sqlx::", "rusqlite::"],
    folders: &["host/src", "host/core/src", "host/sandbox/src"],
    except: &["host/src/store/"],
};
const WASMTIME: Ban = Ban {
    words: &["wasmtime::", "wasmtime_wasi::"],
    folders: &["host/src", "host/core/src"],
    except: &["host/src/runtime/"],
};
const AXUM: Ban = Ban {
    words: &["axum::"],
    folders: &["host/src", "host/core/src"],
    // The app serves the API's router, but handles no request.
    except: &["host/src/api/", "host/src/app/"],
};
const CONNECTIONS: Ban = Ban {
    words: &["reqwest::"],
    folders: &["host/src"],
    // The command line is a client of the API.
    except: &["host/src/gate/", "host/src/cli/"],
};
const CLOCKS: Ban = Ban {
    words: &["Instant::now()", "SystemTime::now()", "Timestamp::now()"],
    folders: &["host/src", "host/core/src", "host/sandbox/src"],
    except: &["host/src/clock.rs", "host/sandbox/src/clock.rs"],
};
const IMPURE: Ban = Ban {
    words: &[
        "tokio",
        "sqlx",
        "rusqlite",
        "wasmtime",
        "axum",
        "reqwest",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant::now",
        "SystemTime",
    ],
    folders: &["host/core/src"],
    except: &[],
};

#[test]
fn sql_is_only_in_the_store() {
    assert_eq!(violations(&SQL), Vec::<String>::new());
}

#[test]
fn wasmtime_is_only_in_the_runtime() {
    assert_eq!(violations(&WASMTIME), Vec::<String>::new());
}

#[test]
fn axum_is_only_in_the_api() {
    assert_eq!(violations(&AXUM), Vec::<String>::new());
}

#[test]
fn connections_open_only_in_the_gate_and_the_client() {
    assert_eq!(violations(&CONNECTIONS), Vec::<String>::new());
}

#[test]
fn clocks_are_read_only_in_clock_files() {
    assert_eq!(violations(&CLOCKS), Vec::<String>::new());
}

#[test]
fn core_is_pure() {
    assert_eq!(violations(&IMPURE), Vec::<String>::new());
}

fn violations(ban: &Ban) -> Vec<String> {
    let sources = sources(ban.folders);
    sources
        .iter()
        .flat_map(|source| violations_in(source, ban))
        .collect()
}

fn violations_in(source: &Source, ban: &Ban) -> Vec<String> {
    if is_test_file(&source.path) || ban.except.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let code = product_code(&source.text);
    let banned = code
        .lines()
        .filter(|line| ban.words.iter().any(|word| line.contains(word)));
    banned
        .map(|line| format!("{}: {}", source.path, line.trim()))
        .collect()
}

#[test]
fn banned_word_is_found() {
    let found = |path: &str, text: &str| {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        violations_in(&source, &SQL).len()
    };
    let query = "use sqlx::query; // sqlx::\n#[cfg(test)]\nuse sqlx::Row;";
    assert_eq!(found("host/src/gate/send.rs", query), 1);
    assert_eq!(found("host/src/store/claim.rs", query), 0);
    assert_eq!(found("host/src/gate/tests/send.rs", query), 0);
}
