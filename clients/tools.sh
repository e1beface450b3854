# shellcheck shell=bash
# Installs the generators of versions.env into clients/.tools, once per content of that file.
# Sourced by generate.sh and lint-proto.sh; needs python3, go and npm, and nothing else.

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$clients")
tools=$clients/.tools

install_tools() {
    local wanted installed=$tools/installed.env
    wanted=$(cat "$clients/versions.env" "$clients/tools.sh")
    if [[ -f $installed && $(cat "$installed") == "$wanted" ]]; then
        return
    fi
    echo "Installing the generators into clients/.tools" >&2
    rm -rf "$tools"
    mkdir -p "$tools"
    # shellcheck source=versions.env
    source "$clients/versions.env"

    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
        "grpcio-tools==$GRPCIO_TOOLS" \
        "mypy-protobuf==$MYPY_PROTOBUF" \
        "googleapis-common-protos==$GOOGLEAPIS_COMMON_PROTOS"

    GOBIN=$tools/go go install "google.golang.org/protobuf/cmd/protoc-gen-go@$PROTOC_GEN_GO"
    GOBIN=$tools/go go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$PROTOC_GEN_GO_GRPC"

    npm install --prefix "$tools" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
        "@bufbuild/protoc-gen-es@$PROTOC_GEN_ES" \
        "@bufbuild/buf@$BUF" \
        "grpc-health-check@$GRPC_HEALTH_CHECK" \
        "@grpc/reflection@$GRPC_REFLECTION"

    # Last, so that an installation that was cut short starts over.
    echo "$wanted" >"$installed"
}
