//! The binary `egression`: a thin door to [`egression_host::cli`].

fn main() -> std::process::ExitCode {
    egression_host::cli::main()
}
