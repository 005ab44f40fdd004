//! Compiles components in child processes, a few at a time.
//!
//! A component is as trustworthy as its author, and the compiler needs minutes and gigabytes for a
//! hostile one. So each compilation runs in a process of its own (`compile_process.rs`) with bounds
//! on its size, memory and time. It ends with its caller: dropping the future kills the process.
//!
//! Compilations share [`CompileBounds::slots`]. Large components leave one slot to small ones.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::compile_process::{COMMAND, REFUSED, Refusal};
use super::component_size::Oversize;
use super::install_error::InstallError;
use crate::clock::Clock;
use crate::runtime::runtime_settings::{CompileBounds, RuntimeSettings};

/// Bytes kept of a process's error output.
const MAX_SAID_BYTES: u64 = 4_096;

pub struct Compiler {
    program: PathBuf,
    bounds: CompileBounds,
    clock: Clock,
    slots: Semaphore,
    /// The slots that large components may hold.
    large: Semaphore,
}

/// The output of an ended process.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    said: String,
}

impl Compiler {
    pub fn new(settings: &RuntimeSettings, clock: &Clock) -> Self {
        let bounds = settings.compile.clone();
        Self {
            program: settings.compiler.clone(),
            clock: clock.clone(),
            slots: Semaphore::new(bounds.slots),
            large: Semaphore::new(bounds.slots.saturating_sub(1).max(1)),
            bounds,
        }
    }

    /// The code of a component. Waits for a slot for at most `queue_ms`.
    pub async fn compile(&self, wasm: &Bytes) -> Result<Vec<u8>, InstallError> {
        let _slot = self.slot(wasm.len()).await?;
        let mut child = self.spawn()?;
        let deadline = self.clock.mono().plus_ms(self.bounds.deadline_ms);
        let running = self.run(&mut child, wasm);
        match timeout_at(self.clock.instant(deadline), running).await {
            Ok(ended) => self.code(ended?),
            Err(_) => {
                child.kill().await?;
                Err(self.too_slow())
            }
        }
    }

    async fn slot(
        &self,
        wasm_bytes: usize,
    ) -> Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>), InstallError> {
        let busy = || InstallError::CompilerBusy {
            queue_ms: self.bounds.queue_ms,
        };
        let waiting = async {
            // First, so that a large component that waits for another large one holds no slot.
            let large = if wasm_bytes > self.bounds.small_component_bytes {
                Some(self.large.acquire().await.map_err(|_| busy())?)
            } else {
                None
            };
            let slot = self.slots.acquire().await.map_err(|_| busy())?;
            Ok((large, slot))
        };
        let deadline = self.clock.mono().plus_ms(self.bounds.queue_ms);
        timeout_at(self.clock.instant(deadline), waiting)
            .await
            .unwrap_or_else(|_| Err(busy()))
    }

    fn spawn(&self) -> Result<Child, InstallError> {
        let bounds = serde_json::to_string(&self.bounds)
            .map_err(|error| InstallError::Host(error.to_string()))?;
        Command::new(&self.program)
            .args([COMMAND, &bounds])
            // The environment can hold the host's secrets.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                InstallError::Host(format!("the compiler's process cannot start: {error}"))
            })
    }

    async fn run(&self, child: &mut Child, wasm: &Bytes) -> Result<Ended, InstallError> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A process that ended early says why.
                let _ = stdin.write_all(wasm).await;
            }
        };
        // One byte more shows that there is more.
        let ((), output, said) = tokio::join!(
            write,
            read(stdout, self.bounds.max_compiled_bytes + 1),
            read(stderr, MAX_SAID_BYTES),
        );
        Ok(Ended {
            status: child.wait().await?,
            output: output?,
            said: String::from_utf8_lossy(&said?).trim().to_owned(),
        })
    }

    fn code(&self, ended: Ended) -> Result<Vec<u8>, InstallError> {
        let Ended {
            status,
            output,
            said,
        } = ended;
        if output.len() as u64 > self.bounds.max_compiled_bytes {
            return Err(InstallError::Oversize(Oversize::compiled(&self.bounds)));
        }
        if status.success() {
            return Ok(output);
        }
        if status.code() == Some(REFUSED.into()) {
            let refusal = serde_json::from_slice(&output)
                .map_err(|error| InstallError::Host(error.to_string()))?;
            return Err(match refusal {
                Refusal::Oversize(oversize) => InstallError::Oversize(oversize),
                Refusal::Invalid(reason) => InstallError::Invalid(reason),
            });
        }
        if hit_cpu_limit(status) {
            return Err(self.too_slow());
        }
        // The text of `std::alloc::handle_alloc_error`.
        if said.contains("memory allocation of") {
            return Err(InstallError::CompileMemory {
                memory_bytes: self.bounds.memory_bytes,
            });
        }
        Err(InstallError::CompilerCrashed(format!("{status}: {said}")))
    }

    const fn too_slow(&self) -> InstallError {
        InstallError::CompileTimeout {
            deadline_ms: self.bounds.deadline_ms,
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(unix)]
fn hit_cpu_limit(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;

    status.signal() == Some(rustix::process::Signal::XCPU.as_raw())
}

#[cfg(not(unix))]
fn hit_cpu_limit(_status: ExitStatus) -> bool {
    false
}
