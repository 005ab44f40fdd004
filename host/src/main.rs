//! The binary `egression`; see [`egression_host::main`].

fn main() -> std::process::ExitCode {
    egression_host::main()
}
