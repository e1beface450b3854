#!/bin/sh
# Measures questions beside DuckDB and plain SQL, on a database of its own with the durability of a real one.
#
#   BENCH_QUERY_EVENTS=10000000        how many events; 0 for none
#   BENCH_QUERY_SCALES=1000000,…       several sizes instead, and how the times grow with them
#   BENCH_QUERY_DIR=DIRECTORY          keeps what is loaded for the next run with the same size and seed
#   BENCH_QUERY_ONLY=visitors          only the questions with this in their names
#   BENCH_QUERY_RUNS=7                 how often each is asked
#   BENCH_QUERY_SEED=1                 of the events
#   BENCH_QUERY_UPKEEP_EVENTS=1000000  to measure the cost of rollups with; 0 for none
set -eu

# An answer of another version may take another time.
DUCKDB_VERSION=1.4.1

venv=${CARGO_TARGET_DIR:-target}/bench-query/duckdb-$DUCKDB_VERSION
if [ ! -e "$venv/ready" ]; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv" || {
        echo "bench-query: need Python 3 with venv, for DuckDB: apt-get install python3-venv" >&2
        exit 1
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==$DUCKDB_VERSION"
    touch "$venv/ready"
fi
BENCH_QUERY_PYTHON=$(cd "$venv/bin" && pwd)/python
export BENCH_QUERY_PYTHON

cargo build --release --locked
cargo bench --locked --bench query --no-run
if [ -n "${BENCH_QUERY_DIR:-}" ]; then
    mkdir -p "$BENCH_QUERY_DIR"
    data_dir=$(cd "$BENCH_QUERY_DIR" && pwd)
else
    data_dir=$(mktemp -d "${TMPDIR:-/tmp}/tallymark-bench-query.XXXXXX")
    trap 'rm -rf "$data_dir"' EXIT
fi
# As root the database runs as another user, who has to be able to enter.
chmod 0755 "$data_dir"
BENCH_QUERY_FILES=$data_dir/bench-query
export BENCH_QUERY_FILES
TALLYMARK_LOG=${TALLYMARK_LOG:-warn} "${CARGO_TARGET_DIR:-target}"/release/tallymark database exec --data-dir "$data_dir" \
    -- cargo bench --locked --bench query
