#!/bin/sh
# Checks what is in the repository, where no compiler looks.
set -eu
cd "$(dirname "$0")/.."

failed=0
# Says what is wrong, and where, if it is anywhere.
complain() {
    [ -n "$2" ] || return 0
    printf 'check-tree: %s:\n%s\n' "$1" "$2" >&2
    failed=1
}

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    # Not what is deleted and not committed yet.
    files=$(git ls-files --cached --others --exclude-standard | while read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done)
else
    files=$(find . -type f ! -path '*/target/*' ! -path '*/node_modules/*' ! -path '*/.venv/*' ! -path '*/.tools/*' \
        ! -path './fuzz/corpus/*' ! -path './fuzz/artifacts/*' |
        sed 's#^\./##')
fi
matching() { printf '%s\n' "$files" | grep -E "$1" || true; }
without_locks() { printf '%s\n' "$files" | grep -vE '(^|/)(Cargo\.lock|package-lock\.json|go\.sum)$'; }
# Lines that match $1 in the files named on standard input. The brackets below keep this file from matching itself.
lines_with() { tr '\n' '\0' | xargs -0 grep -nIE "$1" /dev/null || true; }

complain "a path of one machine" "$(without_locks |
    lines_with '(^|[^A-Za-z0-9_.$}~-])/([r]oot|[h]ome|[U]sers|[w]ork|[o]pt)/[A-Za-z0-9._-]')"
complain "the address of a package registry, which is the machine's to choose" "$(without_locks |
    lines_with '[r]egistry\.npmjs\.org|[i]ndex\.crates\.io|[f]iles\.pythonhosted\.org|[p]roxy\.golang\.org|[a]rtifactory|[v]erdaccio|[d]evpi')"
complain "a package from somewhere else" "$(matching '(^|/)package-lock\.json$' |
    lines_with '"resolved": *"' | grep -v '"https://[r]egistry\.npmjs\.org/' || true)"
complain "a crate from somewhere else" "$(matching '(^|/)Cargo\.lock$' |
    lines_with '^source = ' | grep -v '"registry+https://github\.com/rust-lang/crates\.io-index"' || true)"

complain "a file that holds more than one idea" "$(matching '\.rs$' | while read -r file; do
    # Tests are often tables of cases, which are long without being hard to read.
    case $file in tests/* | benches/*) most=1000 ;; *) most=600 ;; esac
    lines=$(wc -l <"$file")
    [ "$lines" -le "$most" ] || echo "$file: $lines lines, at most $most"
done)"

# Cargo is told of tests/it/main.rs alone: a file that it does not name is never run.
complain "tests that tests/it/main.rs does not name" "$(matching '^tests/it/[a-z0-9_]+\.rs$' |
    grep -v '/main\.rs$' | while read -r file; do
    grep -q "^mod $(basename "$file" .rs);" tests/it/main.rs || echo "$file"
done)"

complain "a migration that is not the next one" "$(
    number=0
    matching '^migrations/[^/]*\.sql$' | LC_ALL=C sort | while read -r file; do
        number=$((number + 1))
        next=$(printf '%04d' "$number")
        case ${file##*/} in
        "$next"_[a-z]*) ;;
        *) echo "$file: expected ${next}_name.sql" ;;
        esac
    done
)"

complain "a script that does not parse" "$(matching '(^scripts/.*|\.sh)$|^\.ci/run$' | while read -r file; do
    case $(head -n 1 "$file") in
    *bash) bash -n "$file" 2>&1 || true ;;
    *) sh -n "$file" 2>&1 || true ;;
    esac
done)"

exit "$failed"
