#!/bin/sh
# Fails when the .proto files break a client of those on the main branch (origin/main where there is one). Passes where
# there is nothing to compare with: no git, no such branch (a shallow clone of another one), or no protocol on it yet.
# BUF names the program (default .venv/bin/buf). Reads the local repository only.
set -eu
cd "$(dirname "$0")/.."
BUF=${BUF:-.venv/bin/buf}
for main in origin/main main ""; do
    if [ -z "$main" ] || git rev-parse --quiet --verify "$main:proto/polyhash" >/dev/null 2>&1; then break; fi
done
if [ -z "$main" ]; then
    echo "buf breaking: no earlier protocol to compare with."
    exit 0
fi
BASE=$(mktemp -d)
trap 'rm -rf "$BASE"' EXIT
git archive "$main" buf.yaml proto | tar -x -C "$BASE"
"$BUF" breaking --against "$BASE"
