#!/usr/bin/env bash
# Sourced by every script of this folder: where things are, how progress is told, and the
# few helpers that all of them need.
# shellcheck disable=SC2034  # the names are for those who source this

# A failure inside $(...) is a failure.
shopt -s inherit_errexit

CLUSTER_NAME=identtqueue
CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT_DIR=$(cd "$CLUSTER_DIR/../.." && pwd)
# What belongs to this clone (kubeconfig, build contexts) and what every clone shares.
STATE_DIR=$ROOT_DIR/.cluster
CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/identtqueue
OWN_KUBECONFIG=$STATE_DIR/kubeconfig
# Sockets need a short path, and what is kept here must not outlive a reboot.
RUN_DIR=/run/identtqueue

say() { printf '%s\n' "$*" >&2; }
step() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# start_job COMMAND...: starts it in the background, with a process group of its own; the group's
# number is $!. In our group a background job would ignore Ctrl-C: it would outlive the script and
# the lock, and work on in a folder that the next run clears.
start_job() {
  set -m
  "$@" </dev/null &
  set +m
}

# end_job GROUP: ends it with all that it has started, and returns when it has ended.
end_job() {
  kill -- "-$1" 2>/dev/null || return 0
  wait_for 10 "a job to end" job_has_ended "$1" || kill -9 -- "-$1" 2>/dev/null || true
}

job_has_ended() { ! kill -0 -- "-$1"; }

# guard_job GROUP: from now on it is ended before this script is, whatever ends the script.
guard_job() {
  local signal
  # shellcheck disable=SC2064  # the group is known now
  for signal in INT TERM HUP; do
    # By the same signal, or the shell around this one would take it for handled and go on.
    trap "end_job $1; trap - $signal; kill -$signal \$BASHPID" "$signal"
  done
  # shellcheck disable=SC2064
  trap "end_job $1" EXIT
}

unguard_job() { trap - INT TERM HUP EXIT; }

# quietly LABEL COMMAND...: runs a long command with its output in a log, tells every
# 20 seconds that it is still at it, and shows the end of the log if it fails.
quietly() {
  local label=$1 log pid waited=0
  shift
  mkdir -p "$CACHE_DIR/logs"
  log=$CACHE_DIR/logs/${label//[^a-zA-Z0-9.-]/-}.log
  step "$label"
  start_job "$@" >"$log" 2>&1 9>&-
  pid=$!
  guard_job "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    ((waited % 100)) || step "  ... $label ($((waited / 5)) s)"
  done
  unguard_job
  wait "$pid" && return
  tail -n 25 "$log" >&2
  die "$label failed; the whole log is $log"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local limit=$1 what=$2 end
  shift 2
  end=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { say "gave up after $limit s waiting for $what"; return 1; }
    sleep 0.2
  done
}

# hash_of PATH...: one short hash over names and contents, the same in every clone.
hash_of() {
  (
    cd "$ROOT_DIR" || exit
    find "${@#"$ROOT_DIR"/}" -type f -not -path '*/__pycache__/*' -not -name '*.pyc' -print0 |
      LC_ALL=C sort -z | xargs -0 -r sha256sum
  ) | sha256sum | cut -c1-12
}

# with_lock NAME COMMAND...: one process on this machine at a time. Commands that leave a
# daemon behind close descriptor 9, or the daemon would hold the lock.
with_lock() {
  local name=$1
  shift
  mkdir -p "$CACHE_DIR/locks"
  (
    flock -n 9 || { step "another run holds the lock '$name'; waiting for it"; flock 9; }
    "$@"
  ) 9>"$CACHE_DIR/locks/$name"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root: run it as root, or install it yourself and run again"
}

# debian_packages COMMAND=PACKAGE...: installs the packages whose command is missing.
debian_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  need_root "installing ${missing[*]}"
  quietly "Debian packages: ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  apt-get update -q || return
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}
