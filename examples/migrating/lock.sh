#!/usr/bin/env bash
# Rewrites the hashed requirements of the applications before the move. Needs uv (`pip install uv`).
# The versions are those that docs/moving speaks of, and those of the benchmarks.
set -euo pipefail
cd "$(dirname "$0")"

lock() { # name, requirements
  local name=$1
  shift
  printf '%s\n' "$@" | uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command examples/migrating/lock.sh -o "$name/before/requirements.txt" -
}

lock arq 'arq==0.28.0' pytest pytest-asyncio
lock celery 'celery[redis]==5.7.0' pytest
lock rq 'rq==3.0.0' pytest
