//! Arguments → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tallymark: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(tallymark::cli::run());
    // Who is asked to stop while it reads a large log does not wait until it is read.
    runtime.shutdown_background();
    code
}
