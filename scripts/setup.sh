#!/bin/sh
# Checks that this machine has what a build needs, and says what is missing.
set -eu

missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing\n  $1: $2"
}
need_all() {
    missing=""
    need cargo "Rust 1.95 or later, from your distribution or rustup"
    need cc "a C compiler and linker: apt-get install gcc libc6-dev"
}

need_all
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    case $missing in
    *" cc:"*)
        apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev
        need_all
        ;;
    esac
fi
if [ -n "$missing" ]; then
    printf 'This machine lacks:%b\n' "$missing" >&2
    exit 1
fi
