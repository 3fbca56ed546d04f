#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml. Hashed requirement files,
# not uv.lock: they name no registry host. Needs uv (`pip install uv`).
# The locks are resolved for Python 3.11, the oldest version supported.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command requirements/lock.sh "$@" pyproject.toml
}
compile --extra fast -o requirements/worker.txt
compile --extra operator --extra dashboard -o requirements/operator.txt
compile --extra fast --extra local --group demo -o requirements/demo.txt
compile --extra embedded --extra fast --extra operator --group dev -o requirements/dev.txt
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command requirements/lock.sh --group pyproject.toml:docs \
  -o requirements/docs.txt
# Unpacked, not installed: what they depend on is not needed.
uv pip compile --quiet --python-version 3.11 --no-deps --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command requirements/lock.sh --group pyproject.toml:servers \
  -o requirements/servers.txt
# The release of 2021, for tests of the bridge to it. Its aioredis does not import on Python 3.11.
echo identtqueue==0.2.2 | uv pip compile --quiet --universal --python-version 3.8 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command requirements/lock.sh \
  -o requirements/old-release.txt -
