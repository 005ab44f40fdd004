//! The layers: where SQL, wasmtime, axum, connections and clocks may occur.

use super::tree::trespassers;

#[test]
fn core_is_pure() {
    let words = [
        "tokio",
        "sqlx",
        "wasmtime",
        "axum",
        "reqwest",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant::now",
        "SystemTime",
    ];
    assert_eq!(
        trespassers(&["host/core/src"], &words, &[]),
        Vec::<String>::new()
    );
}

#[test]
fn sql_is_only_in_the_store() {
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src", "host/sandbox/src"],
            &["sqlx::"],
            &["host/src/store/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn wasmtime_is_only_in_the_runtime() {
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src"],
            &["wasmtime::", "wasmtime_wasi::"],
            &["host/src/runtime/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn axum_is_only_in_the_api() {
    // The app serves the API's router, but handles no request.
    let allowed = ["host/src/api/", "host/src/app/serve.rs"];
    assert_eq!(
        trespassers(&["host/src", "host/core/src"], &["axum::"], &allowed),
        Vec::<String>::new()
    );
}

#[test]
fn connections_open_only_in_the_gate_and_the_client() {
    assert_eq!(
        trespassers(
            &["host/src"],
            &["reqwest::"],
            &["host/src/gate/", "host/src/cli/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn clocks_are_read_only_in_clock_files() {
    let words = ["Instant::now()", "SystemTime::now()", "Timestamp::now()"];
    let allowed = ["host/src/clock.rs", "host/sandbox/src/clock.rs"];
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src", "host/sandbox/src"],
            &words,
            &allowed
        ),
        Vec::<String>::new()
    );
}

#[test]
fn app_is_unknown_to_its_parts() {
    assert_eq!(
        trespassers(
            &["host/src"],
            &["crate::app"],
            &["host/src/app/", "host/src/cli/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn store_uses_nothing_above_it() {
    let words = [
        "crate::api",
        "crate::delivery",
        "crate::dispatch",
        "crate::gate",
        "crate::resolver",
        "crate::runtime",
        "crate::vault",
    ];
    let inside: Vec<String> = trespassers(&["host/src/store"], &words, &[]);
    assert_eq!(inside, Vec::<String>::new());
}
