#!/bin/sh
# Measures the service on a database of its own, with the durability of a real one.
set -eu

cargo build --release --locked
cargo bench --locked --bench service --no-run
data_dir=$(mktemp -d "${TMPDIR:-/tmp}/tallymark-bench.XXXXXX")
chmod 0755 "$data_dir"
trap 'rm -rf "$data_dir"' EXIT
TALLYMARK_LOG=${TALLYMARK_LOG:-warn} target/release/tallymark database exec --data-dir "$data_dir" \
    -- cargo bench --locked --bench service
