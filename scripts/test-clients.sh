#!/bin/sh
# Checks the generated clients and runs their tests against a service that is started for it, on a database and
# a port of its own, and stopped afterwards. Needs Python, Go and Node; clients/README.md says which.
set -eu

program=${CARGO_TARGET_DIR:-target}/debug/tallymark
work=$(mktemp -d "${TMPDIR:-/tmp}/tallymark-clients.XXXXXX")
# As root the database runs as another user, who has to be able to enter.
chmod 0755 "$work"
service=

stop() {
    status=$?
    trap - EXIT HUP INT TERM
    if [ -n "$service" ] && kill "$service" 2>/dev/null && ! wait "$service"; then
        echo "test-clients: the service did not stop in order; it said:" >&2
        tail -n 20 "$work/log" >&2
        [ "$status" -ne 0 ] || status=1
    fi
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

for tool in python3 go npm; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "test-clients: $tool is missing; clients/README.md says what the clients need" >&2
        exit 69
    }
done

clients/generate.sh --check
clients/lint-proto.sh

TALLYMARK_WRITE_KEY=$("$program" key generate --kind write)
TALLYMARK_READ_KEY=$("$program" key generate --kind read)
export TALLYMARK_WRITE_KEY TALLYMARK_READ_KEY
# There before the service is: the loop below reads it at once.
: >"$work/log"
env -u DATABASE_URL TALLYMARK_LISTEN=127.0.0.1:0 TALLYMARK_DATA_DIR="$work/data" \
    TALLYMARK_LOG=info TALLYMARK_LOG_FORMAT=text "$program" serve 2>"$work/log" &
service=$!

# The first start on a machine downloads the database, so this may take minutes; a service that ended is noticed
# at once.
address=
tries=0
until [ -n "$address" ] && "$program" healthcheck --address "$address" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if ! kill -0 "$service" 2>/dev/null || [ "$tries" -gt 3000 ]; then
        echo "test-clients: the service did not become ready; it said:" >&2
        tail -n 20 "$work/log" >&2
        exit 1
    fi
    address=$(sed -n 's/.* listening listen=\([^ ]*\).*/\1/p' "$work/log")
    sleep 0.2
done

TALLYMARK_KEY=$TALLYMARK_WRITE_KEY clients/test.sh "$address"
