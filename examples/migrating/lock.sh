#!/usr/bin/env bash
# Rewrites the hashed requirements of the applications before and during the move. Needs uv (`pip install uv`).
# The versions are those that docs/moving speaks of, and those of the benchmarks.
set -euo pipefail
cd "$(dirname "$0")"

lock() { # folder, requirements
  local folder=$1
  shift
  printf '%s\n' "$@" | uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command examples/migrating/lock.sh -o "$folder/requirements.txt" -
}

lock arq/before 'arq==0.28.0' pytest pytest-asyncio
# With what idenTTqueue needs: both in one environment.
lock arq/during 'arq==0.28.0' hiredis msgspec cronsim click prometheus-client
lock celery/before 'celery[redis]==5.7.0' pytest
lock rq/before 'rq==3.0.0' pytest
