#!/bin/sh
# Generates the Python modules of polyhash.v1 beside their .proto files; with --check it only compares and fails on a
# difference. grpcio-tools and mypy-protobuf are pinned in constraints.txt, so the result is the same bytes everywhere.
# PYTHON names the interpreter of the environment that holds them (default .venv/bin/python).
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
BIN=$("$PYTHON" -c 'import os, sys; print(os.path.dirname(sys.executable))')
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

protoc() { PATH="$BIN:$PATH" "$PYTHON" -m grpc_tools.protoc --proto_path=proto --proto_path=proto/include "$@"; }
protoc --python_out="$OUT" --mypy_out="quiet:$OUT" proto/polyhash/v1/*.proto
protoc --grpc_python_out="$OUT" --mypy_grpc_out="quiet:$OUT" proto/polyhash/v1/*_service.proto

if [ "${1:-}" = --check ]; then
    diff -r --exclude='*.proto' --exclude=__pycache__ proto/polyhash "$OUT/polyhash" ||
        { echo "The generated code differs from proto/polyhash. Run make generate." >&2; exit 1; }
else
    rm -f proto/polyhash/v1/*_pb2*
    cp "$OUT"/polyhash/v1/* proto/polyhash/v1/
fi
