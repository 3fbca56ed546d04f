#!/usr/bin/env bash
# Sourced, after lib.sh: fills a build context, $CONTEXT, with wheels. Wheels are made and
# fetched on the host, with hashes, for the Python 3.11 of the images: inside a build the
# package index may be out of reach or its certificate unknown.

# collect_wheels NAME: requirements/NAME and the wheels that it names, into the context.
collect_wheels() {
  mkdir -p "$CONTEXT/requirements"
  cp "$ROOT_DIR/requirements/$1" "$CONTEXT/requirements/"
  add_wheels "$ROOT_DIR/requirements/$1"
}

add_wheels() {
  local folder
  folder=$(locked_wheels "$1")
  mkdir -p "$CONTEXT/wheels"
  cp --preserve=timestamps "$folder"/*.whl "$CONTEXT/wheels/"
}

put_own_wheel() { quietly "wheel of identtqueue" own_wheel "$1"; }

# locked_wheels LOCKFILE: prints the folder with all wheels that it names, downloaded once.
locked_wheels() {
  local folder
  folder=$CACHE_DIR/wheels/$({ sha256sum <"$1"; declare -f download_wheels; uname -m; } | sha256sum | cut -c1-12)
  [ -d "$folder" ] || with_lock wheels fetch_wheels "$1" "$folder"
  printf '%s\n' "$folder"
}

fetch_wheels() {
  local lock=$1 folder=$2
  [ ! -d "$folder" ] || return 0
  rm -rf "$folder.tmp"
  mkdir -p "$folder.tmp"
  quietly "wheels of ${lock#"$ROOT_DIR"/}" download_wheels "$lock" "$folder.tmp"
  mv "$folder.tmp" "$folder"
}

# Markers on the Python version are left out: pip would judge them by the host's Python, and
# the image's may be an older one of the same minor version.
download_wheels() {
  local tags=() tag
  sed -E "s/ ; python(_full)?_version [^\\\\]*//" "$1" >"$2/lock.txt"
  for tag in manylinux_2_5 manylinux1 manylinux_2_12 manylinux2010 manylinux_2_17 manylinux2014 \
    manylinux_2_24 manylinux_2_28 manylinux_2_34; do
    tags+=(--platform "${tag}_$(uname -m)")
  done
  host_pip download --require-hashes --only-binary=:all: --no-deps --dest "$2" -r "$2/lock.txt" \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none "${tags[@]}"
}

# Where hatchling is at hand (`make setup`) no build environment has to be fetched.
own_wheel() {
  local isolation=()
  ! "$(host_python)" -c 'import hatchling' 2>/dev/null || isolation=(--no-build-isolation)
  host_pip wheel --no-deps "${isolation[@]}" --wheel-dir "$1" "$ROOT_DIR"
}

host_pip() { "$(host_python)" -m pip --disable-pip-version-check "$@"; }

host_python() {
  local python=$ROOT_DIR/.venv/bin/python
  if "$python" -m pip --version >/dev/null 2>&1; then echo "$python"; else command -v python3; fi
}
