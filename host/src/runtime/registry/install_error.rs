//! Why a component is refused, for the person who installs it.

use super::component_size::Oversize;
use crate::store::StoreError;

/// An installation that failed has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(
        "the component has {size_bytes} bytes; the limit is {max_bytes} \
         (see `runtime.max_component_bytes`)"
    )]
    TooLarge { size_bytes: usize, max_bytes: usize },
    #[error("the file is not WebAssembly: it does not start with `\\0asm`")]
    NotWasm,
    #[error(
        "the file is a core WebAssembly module, not a component; build it for `wasm32-wasip2` or \
         convert it to a component"
    )]
    CoreModule,
    /// A component that the engine cannot read or compile.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    #[error(transparent)]
    Oversize(Oversize),
    #[error(
        "compiling the component takes longer than {deadline_ms} ms \
         (see `runtime.compile.deadline_ms`)"
    )]
    CompileTimeout { deadline_ms: u64 },
    #[error(
        "compiling the component takes more than {memory_bytes} bytes of memory \
         (see `runtime.compile.memory_bytes`)"
    )]
    CompileMemory { memory_bytes: u64 },
    #[error("the compiler crashed on the component: {0}")]
    CompilerCrashed(String),
    #[error(
        "the compiler is busy with other components; none of its slots was free within \
         {queue_ms} ms (see `runtime.compile.slots` and `runtime.compile.queue_ms`)"
    )]
    CompilerBusy { queue_ms: u64 },
    /// A component that does not fit into a slot.
    #[error(
        "the component needs more memory than an instance may have \
         (see `runtime.memory_bytes`): {0}"
    )]
    TooDemanding(String),
    #[error(
        "the component is not a connector: it does not export {}{}",
        quoted(missing),
        also(exports)
    )]
    WrongWorld {
        missing: Vec<String>,
        exports: Vec<String>,
    },
    #[error(
        "the component imports {}, but connectors may only import `egression:connector` 0.1 and \
         WASI 0.2",
        quoted(imports)
    )]
    NotGranted { imports: Vec<String> },
    /// Its imports or exports have the right names, but other types.
    #[error("the component was built against another form of the contract: {0}")]
    Mismatch(String),
    #[error("the trial instance failed: {0}")]
    TrialFailed(String),
    #[error("`describe` failed: {0}")]
    DescribeFailed(String),
    #[error("the description is not valid: {}", .0.join("; "))]
    Description(Vec<String>),
    #[error(
        "{name} {version} is already installed with other bytes (digest {digest}), and an \
         installed version cannot be replaced; give the new build its own version"
    )]
    VersionTaken {
        name: String,
        version: String,
        /// Of the installed component.
        digest: String,
    },
    #[error("the stored component has been changed: its digest is {found}, not {expected}")]
    Changed { expected: String, found: String },
    #[error("the component cannot be stored: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the host failed: {0}")]
    Host(String),
}

impl InstallError {
    /// The stable code of the API's problem response.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "connector.too_large",
            Self::NotWasm => "connector.not_wasm",
            Self::CoreModule => "connector.not_a_component",
            Self::Invalid(_) => "connector.invalid",
            Self::Oversize(_) => "connector.oversize",
            Self::CompileTimeout { .. } => "connector.compile_timeout",
            Self::CompileMemory { .. } => "connector.compile_memory",
            Self::CompilerCrashed(_) => "connector.compiler_crashed",
            Self::CompilerBusy { .. } => "connector.compiler_busy",
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
