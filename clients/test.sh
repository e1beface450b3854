#!/usr/bin/env bash
# Runs the tests of every client against one running service, and fails if any of them does:
#
#   TALLYMARK_KEY=tmw_… TALLYMARK_READ_KEY=tmr_… clients/test.sh [ADDRESS]
#
# ADDRESS is host:port; default: TALLYMARK_ADDRESS. The write key and the read key are of one property. Page
# names are new in every run, so it can be repeated against the same service.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

export TALLYMARK_ADDRESS=${1:-${TALLYMARK_ADDRESS-}}
for variable in TALLYMARK_ADDRESS TALLYMARK_KEY TALLYMARK_READ_KEY; do
    if [[ -z ${!variable-} ]]; then
        echo "clients/test.sh: $variable is not set" >&2
        exit 64
    fi
done

test_python() (
    set -e
    cd python
    # A copy of the environment's recipe marks it complete, so that a change of it installs again.
    if ! cmp -s pyproject.toml .venv/installed.toml; then
        rm -rf .venv
        python3 -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check --editable '.[test]'
        cp pyproject.toml .venv/installed.toml
    fi
    .venv/bin/python -m pytest
)

test_go() (
    set -e
    cd go
    go vet ./...
    go test -count=1 -v .
)

test_typescript() (
    set -e
    cd typescript
    if ! cmp -s package-lock.json node_modules/installed-lock.json; then
        npm ci --no-audit --no-fund --loglevel=error
        cp package-lock.json node_modules/installed-lock.json
    fi
    rm -rf dist
    npm test --silent
)

failed=()
for language in python go typescript; do
    echo "== $language client against $TALLYMARK_ADDRESS"
    # Not `|| …` on the call: bash would ignore `set -e` inside it.
    "test_$language"
    status=$?
    ((status == 0)) || failed+=("$language")
done

if ((${#failed[@]})); then
    echo "clients: failed: ${failed[*]}" >&2
    exit 1
fi
echo "clients: python, go and typescript passed"
