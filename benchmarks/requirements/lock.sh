#!/usr/bin/env bash
# Rewrites the hashed requirement files of the libraries that are compared, one virtual
# environment each. Needs uv (`pip install uv`). Versions are pinned here by hand: a comparison
# is about named versions, and the newest of a day is not the newest of another.
set -euo pipefail
cd "$(dirname "$0")"

lock() { # name, oldest Python, requirements
  local name=$1 python=$2
  shift 2
  printf '%s\n' "$@" | uv pip compile --quiet --universal --python-version "$python" \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command benchmarks/requirements/lock.sh -o "$name.txt" -
}

lock identtqueue 3.11 'redis>=6.2' 'hiredis>=3.2' 'msgspec>=0.19' 'cronsim>=2.6' 'click>=8.1' \
  'prometheus-client>=0.21' 'uvloop>=0.21'
lock ardiq 3.12 'ardiq==1.2.0' uvloop
lock arq 3.11 'arq==0.28.0' hiredis uvloop
lock saq 3.11 'saq[redis,hiredis]==0.26.4' typing-extensions uvloop
lock streaq 3.11 'streaq==7.2.0' uvloop
lock taskiq 3.11 'taskiq-redis==1.2.4' 'taskiq[uv,orjson,msgpack]' hiredis
lock dramatiq 3.11 'dramatiq[redis]==2.2.1' hiredis
lock celery 3.11 'celery[redis]==5.7.0' hiredis
lock rq 3.11 'rq==3.0.0' hiredis
lock huey 3.11 'huey==3.5.4' redis hiredis
lock cauli 3.11 'cauli==0.1.0' hiredis uvloop
lock mayu 3.13 'mayu==0.2.5'
lock tarsk 3.11 'tarsk-redis==0.2.1'
lock blitzq 3.12 'blitzq==1.1.0' hiredis uvloop
lock toro 3.11 'toro-queue==1.1.0' hiredis uvloop
lock pydocket 3.11 'pydocket==0.27.0' hiredis uvloop
lock plot 3.11 matplotlib
