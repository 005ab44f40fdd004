//! Why a component is not installed, in words for the person who brought it.

use crate::store::StoreError;

/// Why a component is not taken. Nothing has changed then: the version that runs keeps running.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(
        "the component has {size_bytes} bytes; at most {max_bytes} are taken (bound `runtime.max_component_bytes`)"
    )]
    TooLarge { size_bytes: usize, max_bytes: usize },
    #[error("this is not WebAssembly: the file does not start with `\\0asm`")]
    NotWasm,
    /// WebAssembly, but a core module.
    #[error(
        "this is a core WebAssembly module, not a component; build it for `wasm32-wasip2` or turn it into a component"
    )]
    CoreModule,
    /// A component that the engine cannot read or compile.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// A component that no slot has room for.
    #[error(
        "the component needs more than an instance may have (bound `runtime.memory_bytes`): {0}"
    )]
    TooDemanding(String),
    /// It exports something else than a connector.
    #[error(
        "the component is no connector: it does not export {}{}",
        quoted(missing),
        also(exports)
    )]
    WrongWorld {
        /// What a connector exports and this does not.
        missing: Vec<String>,
        exports: Vec<String>,
    },
    /// It asks for what connectors are not given.
    #[error(
        "the component imports {}, which connectors are not given; all they have is `egression:connector` 0.1 and WASI 0.2",
        quoted(imports)
    )]
    NotGranted { imports: Vec<String> },
    /// Its imports have the right names and the wrong types.
    #[error("the component was built against another form of the contract: {0}")]
    Mismatch(String),
    #[error("a trial instance could not be made: {0}")]
    TrialFailed(String),
    #[error("`describe` failed: {0}")]
    DescribeFailed(String),
    /// Its description makes no sense.
    #[error("the description is not valid: {}", .0.join("; "))]
    Description(Vec<String>),
    /// Its version is there, with other bytes.
    #[error(
        "{name} {version} is installed with other bytes (digest {digest}), which running jobs may rely on and a return to it would \
         need; give what has changed a version of its own"
    )]
    VersionTaken {
        name: String,
        version: String,
        /// Of the bytes that are there.
        digest: String,
    },
    /// The bytes are not those of the digest.
    #[error("the stored component has been changed: its digest is {found}, not {expected}")]
    Changed { expected: String, found: String },
    #[error("the component cannot be kept: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the host failed: {0}")]
    Host(String),
}

impl InstallError {
    /// Stable and machine-readable, for the problem that the API answers with.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "connector.too_large",
            Self::NotWasm => "connector.not_wasm",
            Self::CoreModule => "connector.not_a_component",
            Self::Invalid(_) => "connector.invalid",
            Self::WrongWorld { .. } => "connector.wrong_world",
            Self::NotGranted { .. } => "connector.import_not_granted",
            Self::TooDemanding(_) => "connector.too_demanding",
            Self::Mismatch(_) => "connector.contract_mismatch",
            Self::TrialFailed(_) => "connector.trial_failed",
            Self::DescribeFailed(_) => "connector.describe_failed",
            Self::Description(_) => "connector.description_invalid",
            Self::VersionTaken { .. } => "connector.version_taken",
            Self::Changed { .. } => "connector.changed_on_disk",
            Self::Io(_) | Self::Store(_) | Self::Host(_) => "internal",
        }
    }

    /// The component is at fault, not the host.
    #[must_use]
    pub const fn is_components_fault(&self) -> bool {
        !matches!(
            self,
            Self::Io(_) | Self::Store(_) | Self::Host(_) | Self::Changed { .. }
        )
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn also(exports: &[String]) -> String {
    if exports.is_empty() {
        " (it exports nothing)".to_owned()
    } else {
        format!(" (it exports {})", quoted(exports))
    }
}
