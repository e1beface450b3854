#!/bin/sh
# Runs a program beside a database of its own that is gone afterwards: with-database.sh PROGRAM…
# The program finds the database's address in DATABASE_URL.
set -eu

data_dir=$(mktemp -d "${TMPDIR:-/tmp}/tallymark-test.XXXXXX")
# As root the database runs as another user, who has to be able to enter.
chmod 0755 "$data_dir"
trap 'rm -rf "$data_dir"' EXIT

# Tests make and drop databases all the time: nothing of theirs has to survive a power failure, and
# TimescaleDB's own jobs would hold on to databases that are dropped.
TALLYMARK_LOG=${TALLYMARK_LOG:-warn,tallymark::store::embedded::install=info} "${CARGO_TARGET_DIR:-target}"/debug/tallymark database exec --data-dir "$data_dir" \
    --set fsync=off --set full_page_writes=off --set synchronous_commit=off \
    --set max_connections=300 --set timescaledb.max_background_workers=0 \
    -- "$@"
