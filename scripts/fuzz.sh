#!/bin/sh
# Fuzzes the reader of the durable log for FUZZ_SECONDS. What makes it fail is left in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi

# New inputs go to the first folder, which git ignores; the second is where a machine that has none starts, and is
# written by fuzz/seeds.sh.
mkdir -p fuzz/corpus/log_reader
# No sanitizer: there is no unsafe code to watch, and so the stable compiler will do. The limits are what an input of
# a few kilobytes must stay far below.
exec cargo fuzz run --sanitizer none log_reader fuzz/corpus/log_reader fuzz/seeds/log_reader -- \
    -max_total_time="${FUZZ_SECONDS:-60}" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 "$@"
