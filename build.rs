//! Compiles proto/ with protox, so that nobody needs protoc.
//!
//! Two passes over the same descriptors: messages and clients as they are, and servers that take a
//! batch's events undecoded (`StreamBatch`), so that one broken event cannot fail its neighbours.

use std::path::{Path, PathBuf};

use prost::Message;

const PROTO_DIR: &str = "proto";
const FILES: [&str; 5] = [
    "tallymark/v1/event.proto",
    "tallymark/v1/error_reason.proto",
    "tallymark/v1/ingest_service.proto",
    "tallymark/v1/query_service.proto",
    "tallymark/v1/admin_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_DIR}");
    println!("cargo:rerun-if-changed=migrations");

    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, [PROTO_DIR])?;
    std::fs::write(
        out_dir.join("tallymark.descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;

    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(descriptors.clone())?;

    let server_dir = out_dir.join("server");
    std::fs::create_dir_all(&server_dir)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(&server_dir)
        .extern_path(".tallymark.v1", "crate::pb")
        .extern_path(
            ".tallymark.v1.StreamEventsRequest",
            "crate::rpc::stream_batch::StreamBatch",
        )
        .extern_path(
            ".tallymark.v1.PipeEventsRequest",
            "crate::rpc::stream_batch::PipeBatch",
        )
        .codec_path("crate::rpc::codec::StrictCodec")
        .compile_fds(descriptors)?;

    list_migrations(Path::new("migrations"), &out_dir.join("migrations.rs"))
}

/// Writes `[(file name, text), …]` of the migrations in the order of their names.
fn list_migrations(dir: &Path, target: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();

    let mut code = String::from("[\n");
    for path in &files {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let path = path.canonicalize()?;
        code.push_str(&format!("    ({name:?}, include_str!({path:?})),\n"));
    }
    code.push(']');
    std::fs::write(target, code)?;
    Ok(())
}
