//! A PostgreSQL for one question. It runs as a single process without a server (`postgres
//! --single`): it reads statements, writes what went wrong, and ends by itself. Nothing listens,
//! and nothing is left.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// PostgreSQL does not run as root: where the tests do, it is `nobody`.
const NOBODY: u32 = 65534;

/// A database that is gone with it.
pub(super) struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// The tests run as root.
    as_nobody: bool,
}

pub(super) struct Said {
    /// What went wrong, each with its statement.
    pub(super) errors: Vec<String>,
    /// Answers, a line for each value, and before them the types of their columns.
    pub(super) answers: String,
}

impl Postgres {
    pub(super) fn new() -> Self {
        let programs = programs().expect(
            "no PostgreSQL: `initdb` and `postgres` are in the Debian package `postgresql`",
        );
        let folder = tempfile::tempdir().unwrap();
        let as_nobody = folder.path().metadata().unwrap().uid() == 0;
        if as_nobody {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = Self {
            folder,
            programs,
            as_nobody,
        };
        let mut initdb = made.command("initdb");
        initdb.args([
            "--no-sync",
            "--no-instructions",
            "--auth=reject",
            "--username=egression",
            "--encoding=UTF8",
            "--locale=C",
            "--pgdata",
        ]);
        succeeded(&initdb.arg(made.data()).output().unwrap());
        made
    }

    /// Runs statements. One that fails does not keep those after it.
    pub(super) fn run(&self, statements: impl IntoIterator<Item = String>) -> Said {
        // A statement ends with a semicolon and an empty line.
        let script: String = statements
            .into_iter()
            .map(|statement| format!("{statement};\n\n"))
            .collect();
        let mut postgres = self.command("postgres");
        postgres
            .args([
                "--single",
                "-j",
                "-F",
                "-c",
                "log_line_prefix=",
                "-c",
                "log_checkpoints=off",
                "-D",
            ])
            .arg(self.data())
            .arg("postgres");
        let mut running = postgres
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = running.stdin.take().unwrap();
        // It writes while it reads.
        let writing = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let ended = running.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        succeeded(&ended);
        let mut errors: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&ended.stderr).lines() {
            match errors.last_mut() {
                Some(last) if !line.starts_with("ERROR:") => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ => errors.push(line.to_owned()),
            }
        }
        Said {
            errors,
            answers: String::from_utf8_lossy(&ended.stdout).into_owned(),
        }
    }

    /// The lines that a question answers with, each of one column.
    pub(super) fn ask(&self, question: &str) -> Vec<String> {
        let file = self.folder.path().join("answer");
        let said = self.run([format!("COPY ({question}) TO '{}'", file.display())]);
        assert_eq!(said.errors, Vec::<String>::new());
        std::fs::read_to_string(file)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

fn succeeded(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The folder of the newest PostgreSQL: of Debian's, else the one on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let version = |folder: &Path| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|folder| has_programs(folder))
        .max_by_key(|folder| version(folder));
    newest.or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| has_programs(folder))
    })
}

fn has_programs(folder: &Path) -> bool {
    let runs = |file: PathBuf| {
        file.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    ["initdb", "postgres"]
        .iter()
        .all(|program| runs(folder.join(program)))
}
