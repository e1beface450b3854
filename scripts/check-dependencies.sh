#!/bin/sh
# Checks that everything the service is built from may be given on with it under the Apache License.
set -eu
cd "$(dirname "$0")/.."

# One crate a line, and its licence: an SPDX expression, or the older form with a slash. Every part of an "and" needs
# a licence below among its alternatives; brackets are read as if there were none, which is the stricter reading.
cargo tree --locked --target all --edges normal,build --prefix none --format '{p}	{l}' |
    sed 's# (\*)$##' | sort -u | awk -F '\t' '
    BEGIN {
        count = split("0BSD Apache-2.0 Apache-2.0_WITH_LLVM-exception BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT Unicode-3.0 Unlicense Zlib", names, " ")
        for (i = 1; i <= count; i++) { gsub("_", " ", names[i]); allowed[names[i]] = 1 }
    }
    $1 == "" { next }
    {
        expression = $2
        gsub(/[()]/, "", expression)
        parts = split(expression, part, / AND /)
        for (i = 1; i <= parts; i++) {
            fine = 0
            alternatives = split(part[i], alternative, / OR |\/| \/ /)
            for (j = 1; j <= alternatives; j++) {
                gsub(/^ +| +$/, "", alternative[j])
                if (alternative[j] in allowed) fine = 1
            }
            if (!fine) { print "check-dependencies: " $1 " has the licence \"" $2 "\""; bad = 1; break }
        }
        crates++
    }
    END {
        if (!crates) { print "check-dependencies: cargo tree named no crate"; bad = 1 }
        exit bad
    }' >&2
