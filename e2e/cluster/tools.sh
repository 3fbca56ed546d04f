#!/usr/bin/env bash
# Makes sure that tools exist and prints their paths, one a line: tools.sh [helm] [kubectl] [kind]
# [promtool] (all four without an argument). A tool on PATH is taken if its version suits. Otherwise
# promtool is taken out of Debian's package (19 MB), and the others, or all of them elsewhere, are built
# from their Go modules into the shared cache, which takes minutes the first time (helm 95 s on two idle
# cores, promtool 130 s; kubectl comes with all of Kubernetes, 5 min) and none later.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=go.sh
. "$CLUSTER_DIR/go.sh"

# Its version without the leading v, whatever words the tool puts around it.
version_of() {
  case $1 in
    helm) "$2" version --template '{{.Version}}' ;;
    kubectl) "$2" version --client -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' ;;
    kind) "$2" version -q ;;
    promtool) "$2" --version ;;
  esac 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1
}

# suits TOOL VERSION: near enough to the pinned one. kubectl keeps to Kubernetes' skew of one
# minor; kind's node image is only promised for the release that it was built for.
suits() {
  local tool=$1 have=$2 pinned minor
  pinned=$(module_version "$(module_of "$tool")")
  pinned=${pinned#v}
  case $tool in
    helm) [ "${have%%.*}" = "${pinned%%.*}" ] && at_least "$have" "${pinned%.*}" ;;
    kubectl)
      minor=$(($(cut -d. -f2 <<<"$have") - $(cut -d. -f2 <<<"$pinned")))
      [ "${have%%.*}" = 1 ] && ((minor >= -1 && minor <= 1))
      ;;
    kind) [ "${have%.*}" = "${pinned%.*}" ] ;;
    promtool) at_least "$have" 2.42 ;; # Debian 12 has 2.42; the module that is built is 3.13
  esac
}

module_of() { case $1 in kubectl) echo kubernetes ;; promtool) echo prometheus ;; helm | kind) echo "$1" ;; *) die "unknown tool: $1" ;; esac; }

# Our own folder is left out of the search: what is there may be an older build, and the
# current one is found by its version.
path_of() {
  local tool=$1 found have built
  module_of "$tool" >/dev/null
  found=$(PATH=:$PATH:; PATH=${PATH//":$CACHE_DIR/bin:"/:}; command -v "$tool" || true)
  if [ -n "$found" ] && have=$(version_of "$tool" "$found") && suits "$tool" "$have"; then
    printf '%s\n' "$found"
    return
  fi
  # Not built here but taken out of the public node image by up.sh, or out of Debian's package.
  found=$CACHE_DIR/bin/$tool
  if [ "$tool" = promtool ] && command -v apt-get >/dev/null; then
    with_lock promtool promtool_of_debian || say "without Debian's package promtool is built"
  fi
  if [ -f "$found" ] && [ ! -L "$found" ] && have=$(version_of "$tool" "$found") && suits "$tool" "$have"; then
    printf '%s\n' "$found"
    return
  fi
  built=$(go_programs "$(module_of "$tool")")
  mkdir -p "$CACHE_DIR/bin"
  ln -sfn "$built/$tool" "$CACHE_DIR/bin/.$tool.$$"
  mv -fT "$CACHE_DIR/bin/.$tool.$$" "$CACHE_DIR/bin/$tool"
  printf '%s\n' "$CACHE_DIR/bin/$tool"
}

# Only the file: the package would bring a service. It needs nothing but the C library.
promtool_of_debian() {
  local folder=$CACHE_DIR/promtool.tmp file=$CACHE_DIR/bin/promtool
  [ ! -f "$file" ] || [ -L "$file" ] || return 0
  rm -rf "$folder"
  mkdir -p "$folder" "$CACHE_DIR/bin"
  quietly "promtool, from Debian's package" download_prometheus "$folder"
  mv -fT "$folder/usr/bin/promtool" "$file"
  rm -rf "$folder"
}

download_prometheus() {
  cd "$1" || return
  apt-get download -q prometheus ||
    { apt-get update -q && apt-get download -q prometheus; } || return
  dpkg-deb -x prometheus_*.deb .
}

[ $# -gt 0 ] || set -- helm kubectl kind promtool
for tool in "$@"; do path_of "$tool"; done
