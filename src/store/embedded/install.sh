#!/bin/sh
# Installs PostgreSQL + TimescaleDB into a private prefix: without root, without touching the system.
#
#   sh install.sh ENGINE_DIR      → a prefix ENGINE_DIR/pg17-timescaledb2.19.3, its path on standard output
#
# The packages come from the archive that this machine's own apt is configured for (so mirrors, proxies and
# authentication keep working), from the first suite below that carries TimescaleDB. apt checks the archive's
# signature as usual; only its state, its cache and its idea of what is installed are private. Since an empty
# machine is assumed, the closure holds its own libc, and the programs are pointed at it: what the
# machine's own libc is does not matter.
#
# The prefix appears by one rename at the very end, so it is either absent or complete. The caller holds the
# lock that keeps two installs apart. Progress goes to standard error.
#
# Exit status: 0 installed · 64 wrong arguments · 69 this machine or its network cannot do it (the last lines
# on standard error say why and what to do instead) · 1 anything else.
set -eu
LC_ALL=C
export LC_ALL
# Nothing of the caller's may reach programs that run on another libc.
unset LD_LIBRARY_PATH LD_PRELOAD APT_CONFIG 2>/dev/null || true
umask 022

say() { printf '%s\n' "$*" >&2; }
unavailable() {
    say "Cannot install the embedded database: $1"
    say "Instead, set DATABASE_URL to a PostgreSQL (16 or later) with TimescaleDB (2.19 or later),"
    say "or TALLYMARK_ENGINE_DIR to a directory that holds such an installation (bin/postgres in it)."
    exit 69
}

[ $# -eq 1 ] || { say "usage: install.sh ENGINE_DIR"; exit 64; }
engine_dir=$1
case $engine_dir in /*) ;; *) say "install.sh: $engine_dir is not an absolute path"; exit 64 ;; esac
# The path goes into apt's configuration and into ELF headers, where these mean something else.
case $engine_dir in *[!A-Za-z0-9/._+@-]*) unavailable "the path $engine_dir holds a character other than letters, digits and / . _ + @ -" ;; esac

distribution=unknown own_suite=
if [ -r /etc/os-release ]; then
    distribution=$(. /etc/os-release && printf '%s %s' "${ID:-unknown}" "${ID_LIKE:-}")
    own_suite=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
fi
# Debian 13 has TimescaleDB in main; Ubuntu took it over into universe in later releases.
case " $distribution " in
*" ubuntu "*) suites="resolute questing" component=universe keyrings="ubuntu-archive-keyring" ;;
*" debian "*) suites="trixie" component=main keyrings="debian-archive-keyring" ;;
*) unavailable "it comes as Debian packages, and this system is '${distribution% }', neither Debian nor Ubuntu." ;;
esac
for tool in apt-get apt-cache apt-config dpkg dpkg-deb; do
    command -v $tool >/dev/null 2>&1 || unavailable "$tool is missing."
done

work=$engine_dir/installing
# A killed install leaves this behind; the lock makes it ours to remove.
rm -rf "$work"
mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial" "$work/debs" "$work/root"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
: >"$work/status"

# Where this machine's apt gets its packages, the release's own archive first. Security and backport archives do
# not carry whole suites. --no-release-info: also what was never fetched, as in a fresh container.
archives=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI) $(COMPONENT)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v own="$own_suite" '
        $3 != "main" && $3 != "universe" { next }
        $1 ~ /\// || $1 ~ /-/ || seen[$2]++ { next }
        $1 == own { print $2; next }
        { later = later $2 "\n" }
        END { printf "%s", later }')
[ -n "$archives" ] || unavailable "apt is not configured with any $component archive (see /etc/apt/sources.list)."

keyring=
for name in $keyrings; do
    for file in /usr/share/keyrings/"$name".gpg /usr/share/keyrings/"$name".pgp; do
        [ -n "$keyring" ] || { [ -r "$file" ] && keyring=$file; } || true
    done
done
[ -n "$keyring" ] || unavailable "the archive's signing keys are missing (package $keyrings)."

# The machine's own settings (proxies, mirrors' methods, credentials), less its hooks, which would run as part of
# our downloads, and less its directories. apt reads APT_CONFIG first, so it also says to read nothing else.
apt-config dump 2>/dev/null |
    grep -vE '^(Dir|APT::Update::(Pre|Post)-Invoke[^ :]*|DPkg|APT::Get::List-Cleanup|Acquire::IndexTargets)(::| )' >"$work/apt.conf" || true
cat >>"$work/apt.conf" <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
# apt downloads as a user of its own when it is root.
[ "$(id -u)" != 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$work/debs" "$work/lists/partial" "$work/archives/partial"

apt() {
    command=$1
    shift
    APT_CONFIG="$work/apt.conf" "$command" -q "$@"
}

# Sets major: the newest PostgreSQL that the private apt state has TimescaleDB for.
find_major() {
    major=$(apt apt-cache pkgnames postgresql- 2>/dev/null |
        sed -n 's/^postgresql-\([0-9]\{1,\}\)-timescaledb$/\1/p' | sort -n | tail -n 1)
}

say "Looking for PostgreSQL + TimescaleDB in the configured package archive …"
major=
reason=
for archive in $archives; do
    for suite in $suites; do
        rm -rf "$work"/lists/*_* "$work"/*.bin
        components=main
        [ "$component" = main ] || components="main $component"
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n' \
            "$archive" "$suite" "$components" "$keyring" >"$work/sources/engine.sources"
        # Any: by itself apt takes a failed download for a warning.
        if ! apt apt-get -o APT::Update::Error-Mode=any update >"$work/update.log" 2>&1; then
            reason=$(grep -E '^(E|W|Err)' "$work/update.log" | head -n 3)
            continue
        fi
        find_major
        [ -z "$major" ] || break 2
        reason="suite $suite of $archive has no TimescaleDB"
    done
done
[ -n "$major" ] || unavailable "no configured archive offers it (suites tried: $suites). The last attempt said:
$reason"

# "'URI' FILE SIZE HASH" per line; the packages' names are what comes before the first underscore.
apt apt-get -y --print-uris install "postgresql-$major" "postgresql-$major-timescaledb" patchelf 2>"$work/plan.log" |
    sed -n "s/^'[^']*' \([^_]*\)_[^ ]* \([0-9]*\) .*/\1 \2/p" >"$work/closure"
[ -s "$work/closure" ] || { cat "$work/plan.log" >&2; unavailable "apt finds no way to install postgresql-$major-timescaledb."; }
# Only programs, libraries and time zones are needed: no compiler for just-in-time code (jit is off), no perl, no
# tools of a whole system. What was left out wrongly is caught by the check of every library below.
awk -v major="$major" '
    $1 ~ /^(libllvm|libz3-|libperl|libdb5|libgdbm|libsemanage|libsepol|libproc|libncurses)/ { next }
    $1 ~ /-perl$/ || $1 == "libc-bin" || $1 == "libc-l10n" || $1 == "libpam-modules-bin" { next }
    $1 ~ /^lib/ || $1 == "tzdata" || $1 == "patchelf" || $1 ~ "^postgresql(-client)?-" major "(-timescaledb)?$"
' "$work/closure" >"$work/needed"
megabytes=$(awk '{ bytes += $2 } END { printf "%d", bytes / 1e6 + 0.5 }' "$work/needed")
timescaledb=$(apt apt-cache show "postgresql-$major-timescaledb" | sed -n 's/^Version: \([0-9.]*\).*/\1/p' | head -n 1)
prefix=$engine_dir/pg$major-timescaledb$timescaledb
say "Installing PostgreSQL $major + TimescaleDB $timescaledb into $prefix (once; $megabytes MB to download) …"

(
    cd "$work/debs"
    # shellcheck disable=SC2046 # one word a package
    apt apt-get download $(cut -d ' ' -f 1 "$work/needed") >"$work/download.log" 2>&1
) || unavailable "the download failed:
$(grep -E '^(E|W|Err)' "$work/download.log" | head -n 5)"

say "Unpacking …"
for package in "$work"/debs/*.deb; do
    dpkg-deb -x "$package" "$work/root"
    rm "$package"
done
root=$work/root
(
    cd "$root"
    rm -rf etc var usr/sbin usr/share/doc usr/share/man usr/share/locale usr/share/lintian usr/share/bug \
        usr/share/doc-base usr/share/zsh usr/share/gdb usr/lib/tmpfiles.d usr/lib/systemd usr/share/postgresql/*/man usr/share/gcc usr/share/pam* usr/share/perl5 usr/share/postgresql-common usr/share/zoneinfo/right \
        usr/share/zoneinfo/posix usr/lib/*/gconv usr/lib/*/security usr/lib/*/audit usr/lib/postgresql/*/lib/bitcode
    rm -f usr/lib/postgresql/*/lib/llvmjit*
    # Steps to this version from ones that are older than the service accepts (2.19).
    rm -f usr/share/postgresql/*/extension/timescaledb--1.*--*.sql \
        usr/share/postgresql/*/extension/timescaledb--2.[0-9].*--*.sql \
        usr/share/postgresql/*/extension/timescaledb--2.1[0-8].*--*.sql
)

loader=$(find "$root" -name 'ld-linux*.so.*' ! -type l | head -n 1)
[ -n "$loader" ] || { say "the packages hold no dynamic loader"; exit 1; }
libraries=$(dirname "$loader")
patchelf="$loader --library-path $libraries $root/usr/bin/patchelf"
final_loader=$prefix${loader#"$root"}
final_libraries=$prefix${libraries#"$root"}
bin=$root/usr/lib/postgresql/$major/bin
for program in "$bin"/*; do
    # Scripts and links are no ELF files.
    [ -f "$program" ] && [ ! -L "$program" ] || continue
    $patchelf --print-interpreter "$program" >/dev/null 2>&1 || continue
    # force-rpath: DT_RPATH also covers libraries of libraries and modules loaded later, DT_RUNPATH does not.
    $patchelf --force-rpath --set-rpath "$final_libraries" --set-interpreter "$final_loader" "$program"
done
rm -f "$root/usr/bin/patchelf"

# This build of PostgreSQL reads time zones from /usr/share/zoneinfo alone, which small container images lack. Its
# working directory is the data directory, where the service keeps a link `zoneinfo` to the prefix's copy. The new
# string is as long as the old one.
sed 's#/usr/share/zoneinfo#.//////////zoneinfo#g' "$bin/postgres" >"$work/postgres"
cat "$work/postgres" >"$bin/postgres"

# Everything that PostgreSQL will load must be in the prefix.
for file in "$bin/postgres" "$bin/initdb" "$root/usr/lib/postgresql/$major/lib"/timescaledb*.so; do
    missing=$("$loader" --library-path "$libraries" --list "$file" 2>&1 | grep 'not found' || true)
    [ -z "$missing" ] || { say "incomplete packages, $(basename "$file") lacks: $missing"; exit 1; }
done

printf 'PostgreSQL %s, TimescaleDB %s\n' "$major" "$timescaledb" >"$root/tallymark-engine"
chmod -R u+w,go-w,a+rX "$root"
# Half of an older recipe's tree must not end up inside; with the lock held nobody is installing here.
rm -rf "$prefix"
mv "$root" "$prefix"
say "Installed the embedded database: $(du -sm "$prefix" | cut -f 1) MB in $prefix"
printf '%s\n' "$prefix"
