//! The process that compiles one component: `egression compile-component BOUNDS`.
//!
//! Compiling hostile bytes can take any time and memory, and the compiler cannot be interrupted
//! inside the host. So the host starts its own program as a child process, which limits itself
//! before it reads the component from standard input. It writes the compiled code, or the reason
//! for a refusal, to standard output. The exit code tells which.

use std::io::{Read, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::component_size::{self, Oversize};
use crate::runtime::instance::wasm_engine;
use crate::runtime::runtime_settings::CompileBounds;
use crate::runtime::thread_priority;

/// The hidden command.
pub const COMMAND: &str = "compile-component";
/// The exit code of a refusal.
pub const REFUSED: u8 = 3;
/// Half of the range. On a busy machine, a compilation still gets about a tenth of a core.
const NICE: i32 = 10;

/// Why a component is not compiled.
#[derive(Debug, Serialize, Deserialize)]
pub enum Refusal {
    Oversize(Oversize),
    Invalid(String),
}

/// Compiles the component on standard input. `bounds` is a [`CompileBounds`] as JSON.
pub fn compile_process(bounds: &str) -> ExitCode {
    match compile(bounds) {
        Ok(Ok(code)) => written(&code, ExitCode::SUCCESS),
        Ok(Err(refusal)) => match serde_json::to_vec(&refusal) {
            Ok(refusal) => written(&refusal, ExitCode::from(REFUSED)),
            Err(error) => failed(&error.to_string()),
        },
        Err(error) => failed(&error.to_string()),
    }
}

fn compile(bounds: &str) -> std::io::Result<Result<Vec<u8>, Refusal>> {
    let bounds: CompileBounds = serde_json::from_str(bounds)?;
    limit_process(&bounds)?;
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm)?;
    match component_size::check(&wasm, &bounds) {
        Ok(Ok(())) => {}
        Ok(Err(oversize)) => return Ok(Err(Refusal::Oversize(oversize))),
        Err(error) => return Ok(Err(Refusal::Invalid(error.to_string()))),
    }
    let engine = wasm_engine::compiling_engine().map_err(std::io::Error::other)?;
    Ok(engine
        .precompile_component(&wasm)
        .map_err(|error| Refusal::Invalid(format!("{error:#}"))))
}

fn written(bytes: &[u8], exit: ExitCode) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => exit,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(reason: &str) -> ExitCode {
    // Nobody else reads it if the host is gone.
    let _ = writeln!(std::io::stderr(), "{reason}");
    ExitCode::FAILURE
}

/// Limits this process for good. The host watches the time, too; the limit of CPU time ends a
/// process whose host was killed.
#[cfg(unix)]
fn limit_process(bounds: &CompileBounds) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    thread_priority::lower(NICE);
    let limit = |resource, current: u64, maximum: u64| {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit)
    };
    limit(Resource::Core, 0, 0)?;
    // The first limit sends SIGXCPU, which says why the process ended; the second SIGKILL.
    let cpu_s = bounds.deadline_ms.div_ceil(1_000);
    limit(Resource::Cpu, cpu_s, cpu_s + 1)?;
    // macOS refuses to limit the address space.
    #[cfg(target_os = "linux")]
    limit(Resource::As, bounds.memory_bytes, bounds.memory_bytes)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit_process(_bounds: &CompileBounds) -> std::io::Result<()> {
    Ok(())
}
