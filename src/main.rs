//! Arguments → command → exit code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tallymark::cli::run().await
}
