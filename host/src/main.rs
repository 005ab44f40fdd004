//! The binary `egression`: a thin door to [`egression_host::main`].

fn main() -> std::process::ExitCode {
    egression_host::main()
}
