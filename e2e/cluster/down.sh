#!/usr/bin/env bash
# Deletes the cluster, and ends the private Docker daemon and the network rule if up.sh made
# them. What was built stays in the cache for the next time; `down.sh --purge` removes it too.
# A cluster that KUBECONFIG names is not ours and is left alone.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
for part in lib docker cluster; do
  # shellcheck source=/dev/null
  . "$here/$part.sh"
done

main() {
  case ${1:-} in '' | --purge) ;; *) die "usage: down.sh [--purge]" ;; esac
  export PATH=$CACHE_DIR/bin:$PATH
  with_lock cluster take_down
  rm -rf "$STATE_DIR"
  [ "${1:-}" != --purge ] || purge
  step "the cluster is down"
}

take_down() {
  if private_docker_runs; then
    export DOCKER_HOST=unix://$DOCKER_SOCKET
  fi
  ! cluster_exists || delete_cluster
  open_cluster
  stop_private_docker
  # What a daemon that had died before left behind.
  [ ! -d "$RUN_DIR" ] || sweep_private_docker
}

purge() {
  step "removing the caches in $CACHE_DIR"
  rm -rf "$CACHE_DIR"
}

main "$@"
