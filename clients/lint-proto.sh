#!/usr/bin/env bash
# Checks proto/ with buf, by the rules of buf.yaml: style, comments and format.
set -euo pipefail
source "$(dirname "$0")/tools.sh"

install_tools
cd "$repository"
buf=$tools/node_modules/.bin/buf
"$buf" lint
"$buf" format --diff --exit-code
echo "proto/: lint and format are clean"
