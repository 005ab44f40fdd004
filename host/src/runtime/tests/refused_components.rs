//! Which components are refused, and with which errors.

use bytes::Bytes;

use super::{Harness, guest, patched};
use crate::runtime::InstallError;

async fn refused(wasm: Bytes) -> InstallError {
    let error = Harness::new(|_| ())
        .runtime
        .prepare(wasm)
        .await
        .unwrap_err();
    assert_ne!(error.code(), "internal", "{error}");
    error
}

#[tokio::test]
async fn component_describes_itself() {
    let harness = Harness::new(|_| ());
    let sandbox = harness.runtime.prepare(guest("sandbox")).await.unwrap();
    assert_eq!(
        (
            sandbox.description().name.as_str(),
            sandbox.description().contract.as_str()
        ),
        ("sandbox", "0.1")
    );
    assert!(
        sandbox.description().reusable && sandbox.description().object_type("product").is_some()
    );
    assert!(sandbox.description().optional_exports.is_empty());
    assert_eq!(sandbox.digest().len(), 64);
    let hostile = harness.runtime.prepare(guest("hostile")).await.unwrap();
    assert!(!hostile.description().reusable);
    assert_eq!(harness.runtime.free_slots(), 4);
}

#[tokio::test]
async fn text_is_not_webassembly() {
    assert!(matches!(
        refused(Bytes::from_static(b"hello, this is text")).await,
        InstallError::NotWasm
    ));
}

#[tokio::test]
async fn core_module_is_refused() {
    assert!(matches!(
        refused(Bytes::from_static(b"\0asm\x01\0\0\0")).await,
        InstallError::CoreModule
    ));
}

#[tokio::test]
async fn truncated_component_is_not_valid() {
    let wasm = guest("hostile");
    assert!(matches!(
        refused(wasm.slice(..wasm.len() / 2)).await,
        InstallError::Invalid(_)
    ));
}

#[tokio::test]
async fn missing_export_is_named() {
    let empty = refused(Bytes::from_static(b"\0asm\x0d\0\x01\0"))
        .await
        .to_string();
    assert!(
        empty.contains("egression:connector/connector@0.1.0") && empty.contains("exports nothing"),
        "{empty}"
    );
    let other = patched(
        &guest("hostile"),
        "egression:connector/connector@",
        "egression:connector/converter@",
    );
    let other = refused(other).await.to_string();
    assert!(
        other.contains("egression:connector/converter@0.1.0"),
        "{other}"
    );
}

#[tokio::test]
async fn foreign_imports_are_named() {
    let wasm = patched(
        &guest("hostile"),
        "egression:connector/http@0.1.0",
        "elsewhere:connector/http@0.1.0",
    );
    let InstallError::NotGranted { imports } = refused(wasm).await else {
        panic!("another error")
    };
    assert_eq!(imports, ["elsewhere:connector/http@0.1.0"]);
}

#[tokio::test]
async fn contract_of_another_form_is_a_mismatch() {
    let wasm = patched(&guest("hostile"), "reads-only", "reads-ever");
    let error = refused(wasm).await;
    assert!(matches!(error, InstallError::Mismatch(_)), "{error}");
}

#[tokio::test]
async fn enum_case_in_exports_fails_at_the_trial() {
    let wasm = patched(&guest("hostile"), "batch-refused", "batch-refuted");
    let error = refused(wasm).await;
    assert!(matches!(error, InstallError::TrialFailed(_)), "{error}");
}

#[tokio::test]
async fn trap_in_describe_is_reported() {
    let error = refused(guest("trap-describe")).await;
    assert!(matches!(error, InstallError::DescribeFailed(_)), "{error}");
}

#[tokio::test]
async fn invalid_description_is_refused() {
    let error = refused(patched(&guest("sandbox"), "standard@0.1", "standard@9.1")).await;
    assert!(
        matches!(
            &error,
            InstallError::Description(faults)
                if faults.len() == 4 && faults[0].contains("standard@9.1")
        ),
        "{error}"
    );
}

#[tokio::test]
async fn component_too_large_for_a_slot_names_the_setting() {
    let harness = Harness::new(|settings| settings.memory_bytes = 128 * 1024);
    let error = harness.runtime.prepare(guest("hostile")).await.unwrap_err();
    assert!(
        matches!(&error, InstallError::TooDemanding(reason) if reason.contains("memory")),
        "{error}"
    );
    assert!(error.to_string().contains("runtime.memory_bytes"));
}

#[tokio::test]
async fn oversized_component_is_refused_unread() {
    let harness = Harness::new(|settings| settings.max_component_bytes = 1_000);
    let error = harness
        .runtime
        .prepare(Bytes::from(vec![0; 1_001]))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        InstallError::TooLarge {
            size_bytes: 1_001,
            max_bytes: 1_000
        }
    ));
    assert!(error.to_string().contains("max_component_bytes"));
}
