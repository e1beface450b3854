#!/bin/sh
# Checks the container files as far as that goes without a container engine: what they name must exist, and agree.
set -eu
cd "$(dirname "$0")/.."

failed=0
complain() {
    echo "check-packaging: $1" >&2
    failed=1
}
# The words after NAME at the start of a line of the Dockerfile.
instruction() { sed -n "s/^$1 //p" Dockerfile; }

# What is copied exists, and the build context holds nothing else.
copied=$(instruction COPY | grep -v '^--from=' | awk '{ for (i = 1; i < NF; i++) print $i }' | sort)
allowed=$(sed -n 's/^!//p' .dockerignore | sort)
for path in $copied; do
    [ -e "$path" ] || complain "the Dockerfile copies $path, which is not there"
done
[ "$copied" = "$allowed" ] || complain ".dockerignore lets through what the Dockerfile does not copy, or the reverse:
$(printf '%s\n%s\n' "$copied" "$allowed" | sort | uniq -u)"

# What the sources include at compile time from outside src/ is in the context too.
for path in $(grep -rhoE '(proto|migrations|clients|tests|docs)/' build.rs | sort -u); do
    case "$copied" in *"${path%/}"*) ;; *) complain "build.rs reads $path, which the Dockerfile does not copy" ;; esac
done

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
instruction FROM | grep -q "^rust:$rust-" || complain "the Dockerfile does not build with Rust $rust of Cargo.toml"
instruction FROM | grep -qE '(:latest|^[^: ]+( AS .*)?$)' && complain "an image of the Dockerfile has no version"
case $(instruction USER) in
[1-9]*) ;;
*) complain "the image does not run as an unprivileged user" ;;
esac

# The port is the same everywhere.
port=$(sed -n 's/^ *LISTEN = "TALLYMARK_LISTEN", "127\.0\.0\.1:\([0-9]*\)",.*/\1/p' src/config.rs)
[ "$(instruction EXPOSE)" = "$port" ] || complain "the image exposes another port than $port"
instruction ENV | grep -qx "TALLYMARK_LISTEN=0.0.0.0:$port" || complain "the image listens on another port than $port"
grep -q "TALLYMARK_LISTEN: 0.0.0.0:$port" compose.yaml || complain "compose.yaml listens on another port than $port"

# The event log outlives the container, on a volume that the image's user may write.
volume=$(instruction VOLUME)
instruction ENV | grep -qE "^TALLYMARK_EVENT_LOG_DIR=$volume/." || complain "the event log of the image is not on its volume"
owner=$(instruction USER | tr : ' ')
grep -qE "install -d -o ${owner% *} -g ${owner#* } .* $volume\$" Dockerfile || complain "the image's user cannot write $volume"
log_volume=$(sed -n "s#^ *- \([a-z-]*\):$volume\$#\1#p" compose.yaml)
[ -n "$log_volume" ] && grep -qx "  $log_volume:" compose.yaml || complain "compose.yaml has no volume at $volume"

# The service reads every variable that it is given, and .env.example has every one that compose.yaml wants.
for variable in $(sed -n 's/^      \(TALLYMARK_[A-Z_]*\|DATABASE_URL\):.*/\1/p' compose.yaml) \
    $(instruction ENV | cut -d= -f1); do
    grep -q "= \"$variable\"," src/config.rs || complain "a container sets $variable, which the service does not read"
done
wanted=$(grep -oE '\$\{[A-Z_]+' compose.yaml | cut -c3- | sort -u)
offered=$(sed -n 's/^\([A-Z_]*\)=.*/\1/p' .env.example | sort -u)
[ "$wanted" = "$offered" ] || complain "compose.yaml and .env.example name different variables:
$(printf '%s\n%s\n' "$wanted" "$offered" | sort | uniq -u)"
git check-ignore -q .env 2>/dev/null || ! git rev-parse --git-dir >/dev/null 2>&1 ||
    complain ".env is not in .gitignore, and holds secrets"

if docker compose version >/dev/null 2>&1; then
    POSTGRES_PASSWORD=x TALLYMARK_ADMIN_KEY=x docker compose --env-file /dev/null config --quiet ||
        complain "compose.yaml is not what docker compose takes"
    ! docker compose --env-file /dev/null config --quiet 2>/dev/null ||
        complain "compose.yaml does not insist on its secrets"
elif python3 -c 'import yaml' 2>/dev/null; then
    python3 -c 'import yaml; yaml.safe_load(open("compose.yaml"))' || complain "compose.yaml is not YAML"
fi

exit "$failed"
