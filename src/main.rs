//! Arguments → command → exit code.

use std::process::ExitCode;

/// An event is many small texts: with the C library's allocator a third of the work on it is malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tallymark::cli::run().await
}
