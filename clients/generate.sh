#!/usr/bin/env bash
# Writes the stubs of every language from proto/:
#
#   clients/generate.sh           regenerate what is committed
#   clients/generate.sh --check   fail, and show a diff, if what is committed is not what it would write
#
# The generators are those of versions.env, kept in clients/.tools; one protoc runs them all.
set -euo pipefail
source "$(dirname "$0")/tools.sh"

proto=$repository/proto

# Folders that hold generated files and nothing else, relative to clients/.
generated=(
    python/src/tallymark/_generated
    go/tallymark/v1
    typescript/src/generated
    typescript/test/generated
)

protoc() {
    "$tools/python/bin/python" -m grpc_tools.protoc "$@"
}

# Paths below proto/: all files, and those of them that have services.
mapfile -t files < <(cd "$proto" && find tallymark -name '*.proto' | LC_ALL=C sort)
mapfile -t services < <(cd "$proto" && grep -l '^service ' "${files[@]}")
((${#files[@]} && ${#services[@]})) || { echo "no services in $proto" >&2 && exit 1; }

# Writes all of `generated` below the folder $1.
generate() {
    local out=$1 folder
    for folder in "${generated[@]}"; do
        mkdir -p "$out/$folder"
    done
    generate_python "$out/python/src/tallymark/_generated"
    generate_go "$out/go"
    generate_typescript "$out/typescript"
}

generate_python() {
    local out=$1
    protoc -I "$proto" \
        --plugin="$tools/python/bin/protoc-gen-mypy" \
        --python_out="$out" --mypy_out=quiet:"$out" "${files[@]}"
    protoc -I "$proto" \
        --plugin="$tools/python/bin/protoc-gen-mypy_grpc" \
        --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" "${services[@]}"
    # protoc imports by the path of the .proto file; these modules live deeper than that.
    find "$out" \( -name '*.py' -o -name '*.pyi' \) -exec sed -i -E \
        -e 's/^from tallymark\.v1 import /from tallymark._generated.tallymark.v1 import /' \
        -e 's/^import tallymark\.v1\./import tallymark._generated.tallymark.v1./' {} +
    find "$out" -type d -exec touch {}/__init__.py \;
}

generate_go() {
    local out=$1 module=github.com/tallymark/tallymark/clients/go
    protoc -I "$proto" \
        --plugin="$tools/go/protoc-gen-go" \
        --plugin="$tools/go/protoc-gen-go-grpc" \
        --go_out="$out" --go_opt=module="$module" \
        --go-grpc_out="$out" --go-grpc_opt=module="$module" \
        "${files[@]}"
}

generate_typescript() {
    local out=$1
    local es=(--plugin="$tools/node_modules/.bin/protoc-gen-es" --es_opt=target=ts,import_extension=js)
    local google
    google=$("$tools/python/bin/python" -c 'import google.rpc.status_pb2 as m, pathlib; print(pathlib.Path(m.__file__).parents[2])')

    protoc -I "$proto" "${es[@]}" --es_out="$out/src/generated" "${files[@]}"
    protoc -I "$google" "${es[@]}" --es_out="$out/src/generated" google/rpc/error_details.proto

    # `grpc=folder` mounts the folder as grpc/, the path these two are known by.
    protoc -I grpc="$tools/node_modules/grpc-health-check/proto" "${es[@]}" \
        --es_out="$out/test/generated" grpc/health/v1/health.proto
    protoc -I "$tools/node_modules/@grpc/reflection/build/proto" "${es[@]}" \
        --es_out="$out/test/generated" grpc/reflection/v1/reflection.proto
}

install_tools
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
generate "$scratch"

case ${1-} in
--check)
    stale=()
    for folder in "${generated[@]}"; do
        diff --recursive --new-file --unified --exclude=__pycache__ "$clients/$folder" "$scratch/$folder" ||
            stale+=("clients/$folder")
    done
    if ((${#stale[@]})); then
        echo "Not what proto/ generates: ${stale[*]}. Run clients/generate.sh and commit." >&2
        exit 1
    fi
    echo "clients/: the ${#generated[@]} generated folders are what proto/ generates"
    ;;
'')
    for folder in "${generated[@]}"; do
        rm -rf "${clients:?}/$folder"
        mkdir -p "$(dirname "$clients/$folder")"
        cp -R "$scratch/$folder" "$clients/$folder"
    done
    echo "Wrote ${generated[*]}"
    ;;
*)
    echo "usage: clients/generate.sh [--check]" >&2
    exit 64
    ;;
esac
