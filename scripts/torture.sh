#!/bin/sh
# Kills the event log's writer, the service and its database under load, again and again, and checks
# after the last kill that every acknowledged event is there, once. Variables:
#   TALLYMARK_TORTURE_KILLS  kills of the service and its database, and as many of a log's writer [500]
#   TALLYMARK_TORTURE_SEED   what is sent, what is killed and when, as far as that can be repeated
#   PROPTEST_CASES           random lives of a log on a made-up disk [20000]
set -eu
cd "$(dirname "$0")/.."

: "${CARGO:=cargo}" "${PROPTEST_CASES:=20000}" "${TALLYMARK_TORTURE_KILLS:=500}"
export PROPTEST_CASES TALLYMARK_TORTURE_KILLS

echo "torture: $TALLYMARK_TORTURE_KILLS kills of a log's writer, $PROPTEST_CASES random lives of a log"
TALLYMARK_TEST_LOG_KILLS=$TALLYMARK_TORTURE_KILLS $CARGO test --locked --lib log::disk::
echo "torture: $TALLYMARK_TORTURE_KILLS kills of the service and its database"
sh scripts/with-database.sh "$CARGO" test --locked --test it crash:: -- --nocapture
