//! Compares the API with its published description: schemathesis derives requests from the
//! description, sends them to a real host, and checks each response. It runs once with the admin's
//! key and once with a tenant's.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::{Workspace, run as run_command, shown};

const FOLDER: &str = "xtask/schemathesis";
/// The requests are derived from this seed.
const SEED: &str = "20261130";
/// Derived requests per operation and phase.
const ADMIN_EXAMPLES: &str = "20";
const TENANT_EXAMPLES: &str = "5";
/// What the host prints before its address.
const LISTENING: &str = "listening on ";

/// The binaries and guests must be built.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let program = installed(workspace)?;
    let host = Host::start(workspace)?;
    let admin = std::fs::read_to_string(host.data_dir.join("admin.key"))?;
    // The run with the admin's key changes the documents.
    let tenant = host.prepare()?;
    check(workspace, &program, &host, &tenant, TENANT_EXAMPLES)?;
    check(workspace, &program, &host, admin.trim(), ADMIN_EXAMPLES)
}

/// The path of schemathesis, which is installed below the target directory once per list of
/// versions.
fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let place = workspace.target().join("tools/schemathesis");
    let program = place.join("bin/schemathesis");
    let wanted = workspace.root().join(FOLDER).join("requirements.txt");
    let known = place.join("requirements.txt");
    let versions = std::fs::read(&wanted)?;
    if std::fs::read(&known).is_ok_and(|known| known == versions) {
        return Ok(program);
    }
    eprintln!("installing schemathesis into {}", place.display());
    let mut create = workspace.command("python3", &["-m", "venv", "--clear"]);
    run_command(create.arg(&place)).context(
        "Python 3 with venv is needed (Debian and Ubuntu: sudo apt-get install python3-venv)",
    )?;
    let pip = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--requirement",
    ];
    run_command(workspace.command(place.join("bin/pip"), &pip).arg(&wanted))?;
    // Last, so that an interrupted installation is repeated.
    std::fs::write(known, versions)?;
    Ok(program)
}

fn check(
    workspace: &Workspace,
    program: &Path,
    host: &Host,
    key: &str,
    examples: &str,
) -> Result<()> {
    let folder = workspace.root().join(FOLDER);
    let (execution, job) = host.submit()?;
    let mut command = workspace.command(program, &["--config-file"]);
    command
        .arg(folder.join("schemathesis.toml"))
        .args(["run", &format!("{}/v1/openapi.json", host.url)])
        .args(["--seed", SEED, "--max-examples", examples])
        .args(["--continue-on-failure", "--warnings", "off"])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .env("EXECUTION", execution)
        .env("JOB", job)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&host.directory);
    // `run` would show the key in its error.
    if !command.status()?.success() {
        bail!("the API and its description differ (see above)");
    }
    Ok(())
}

/// A host with a data directory of its own. Dropping it ends the host.
struct Host {
    process: Child,
    binary: PathBuf,
    directory: PathBuf,
    data_dir: PathBuf,
    url: String,
    component: PathBuf,
    folder: PathBuf,
}

impl Host {
    fn start(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.target().join("schemathesis");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        let data_dir = directory.join("data");
        std::fs::create_dir_all(&directory)?;
        let log = std::fs::File::create(directory.join("host.log"))?;
        let binary = workspace.target().join("debug/egression");
        let mut process = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let output = process.stdout.take().context("the host has no output")?;
        let mut host = Self {
            process,
            binary,
            data_dir,
            url: String::new(),
            component: workspace
                .target()
                .join("wasm32-wasip2/guest/connector_sandbox.wasm"),
            folder: workspace.root().join(FOLDER),
            directory,
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        host.url = line
            .trim()
            .strip_prefix(LISTENING)
            .with_context(|| format!("the host did not start; see {}", host.log()))?
            .to_owned();
        Ok(host)
    }

    /// Installs a connector, applies the documents, and creates a tenant's key.
    fn prepare(&self) -> Result<String> {
        let install = ["connector", "install"];
        self.egression(&install, Some(&self.component))?;
        self.egression(&["apply"], Some(&self.folder.join("documents.toml")))?;
        let create = [
            "key",
            "create",
            "--role",
            "submit",
            "--subscription",
            "acme",
        ];
        text(&self.egression(&create, None)?, "/key")
    }

    /// Submits a job. Returns the ids of its execution and of itself.
    fn submit(&self) -> Result<(String, String)> {
        let submitted = self.egression(&["submit"], Some(&self.folder.join("job.ndjson")))?;
        let execution = text(&submitted, "/id")?;
        let jobs = self.egression(&["execution", "jobs", &execution], None)?;
        Ok((execution, text(&jobs, "/0/id")?))
    }

    /// Runs a command of `egression` against the host and reads its output.
    fn egression(&self, arguments: &[&str], file: Option<&Path>) -> Result<Value> {
        let mut command = Command::new(&self.binary);
        command
            .args(["--output", "json", "--url", &self.url, "--data-dir"])
            .arg(&self.data_dir)
            .args(arguments)
            .args(file)
            .stderr(Stdio::inherit());
        let output = command.output()?;
        if !output.status.success() {
            bail!("`{}` failed ({})", shown(&command), output.status);
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn log(&self) -> String {
        self.directory.join("host.log").display().to_string()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("no {pointer} in {value}"))?
        .to_owned())
}
