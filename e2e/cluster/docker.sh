#!/usr/bin/env bash
# Sourced: finds a Docker daemon, or installs Docker and starts a private one. The private
# daemon has its own socket, data and bridge settings, so that it neither needs nor disturbs
# anything else on the machine; it serves every clone of one user.

DOCKER_PID=$RUN_DIR/docker.pid
DOCKER_SOCKET=$RUN_DIR/docker.sock
DOCKER_EXEC=$RUN_DIR/exec
DOCKER_DATA=$CACHE_DIR/docker

private_docker_runs() {
  [ "$(cat "/proc/$(cat "$DOCKER_PID" 2>/dev/null)/comm" 2>/dev/null)" = dockerd ]
}

private_docker_answers() { private_docker_runs && docker -H "unix://$DOCKER_SOCKET" info; }

# use_docker: exports DOCKER_HOST if it has to, and returns 1 if a daemon had to be started
# (whatever cluster is found in its data then is not to be trusted).
use_docker() {
  if private_docker_runs; then
    export DOCKER_HOST=unix://$DOCKER_SOCKET
    wait_for 60 "the private Docker daemon" private_docker_answers ||
      die "the private Docker daemon (pid $(cat "$DOCKER_PID")) does not answer; see $CACHE_DIR/logs/dockerd.log, or run down.sh"
    return 0
  fi
  # Left over from an earlier env.sh, and dead by now.
  [ "${DOCKER_HOST:-}" != "unix://$DOCKER_SOCKET" ] || unset DOCKER_HOST
  if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    return 0
  fi
  debian_packages dockerd=docker.io containerd=containerd iptables=iptables docker=docker.io
  # Installing the package starts the machine's own daemon where there is a service manager.
  if docker info >/dev/null 2>&1; then
    return 0
  fi
  start_private_docker
  return 1
}

start_private_docker() {
  need_root "a private Docker daemon"
  open_cluster
  sweep_private_docker
  mkdir -p "$RUN_DIR" "$DOCKER_DATA" "$CACHE_DIR/logs"
  local options=(
    --host "unix://$DOCKER_SOCKET" --pidfile "$DOCKER_PID"
    --exec-root "$DOCKER_EXEC" --data-root "$DOCKER_DATA"
    --exec-opt native.cgroupdriver=cgroupfs --log-level warn
  )
  if lacks_sys_resource; then
    install -m 755 "$CLUSTER_DIR/docker/runc-without-sys-resource" "$RUN_DIR/runc"
    options+=(--add-runtime "narrowed=$RUN_DIR/runc" --default-runtime narrowed)
  fi
  step "no Docker daemon runs: starting a private one"
  detached dockerd "${options[@]}" >"$CACHE_DIR/logs/dockerd.log" 2>&1 </dev/null &
  export DOCKER_HOST=unix://$DOCKER_SOCKET
  wait_for 60 "the private Docker daemon" private_docker_answers || {
    tail -n 15 "$CACHE_DIR/logs/dockerd.log" >&2
    die "the private Docker daemon did not start; see $CACHE_DIR/logs/dockerd.log"
  }
}

# detached COMMAND...: in the background, it outlives this script and its terminal, and inherits no
# open file: not our lock, and not one that the caller holds around us.
detached() {
  local fd
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    ((fd <= 2)) || exec {fd}>&-
  done
  exec setsid nohup "$@"
}

# CAP_SYS_RESOURCE is bit 24 of the bounding set.
lacks_sys_resource() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)
  (((0x$bounding >> 24 & 1) == 0))
}

stop_private_docker() {
  private_docker_runs || return 0
  local pid
  pid=$(cat "$DOCKER_PID")
  step "stopping the private Docker daemon (pid $pid)"
  kill "$pid"
  wait_for 30 "dockerd to end" pid_is_gone "$pid" || kill -9 "$pid"
}

pid_is_gone() { ! kill -0 "$1" 2>/dev/null; }

# What a daemon that was killed leaves behind: its containerd, the shims, the first process of
# each container, mounts, and a pid file that would keep the next one from starting.
sweep_private_docker() {
  local file pid mount
  for pid in $(pids_using "$RUN_DIR/exec"); do kill -9 "$pid" 2>/dev/null || true; done
  if [ -d "$DOCKER_EXEC" ]; then
    while read -r file; do
      pid=$(cat "$file")
      if in_container "$pid"; then kill -9 "$pid" 2>/dev/null || true; fi
    done < <(find "$DOCKER_EXEC" -name init.pid 2>/dev/null)
  fi
  while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done < <(awk -v run="$RUN_DIR/" -v data="$DOCKER_DATA/" \
    'index($2 "/", run) == 1 || index($2 "/", data) == 1 {print $2}' /proc/mounts | sort -r)
  rm -rf "$RUN_DIR"
}

# pids_using PATH: containerd and its shims, told by the private path in their arguments.
pids_using() {
  local dir
  for dir in /proc/[0-9]*; do
    case $(cat "$dir/comm" 2>/dev/null) in
      containerd*) tr '\0' ' ' <"$dir/cmdline" 2>/dev/null | grep -qF "$1" && echo "${dir#/proc/}" ;;
    esac
  done
  return 0
}

# The number may have been given to somebody else since: only what runs in one of Docker's
# cgroups is meant.
in_container() { grep -q '/docker/' "/proc/$1/cgroup" 2>/dev/null; }

# isolate_cluster: nothing in the cluster may open a connection to the outside. A test that
# depends on the internet is no test, and before kube-proxy runs a call to a service address
# would leave the machine. Answers to connections from the host still pass.
isolate_cluster() {
  local bridge
  bridge=br-$(docker network inspect kind --format '{{.Id}}' | cut -c1-12)
  isolation_rule "$bridge"
  iptables -C DOCKER-USER "${ISOLATION_RULE[@]}" 2>/dev/null ||
    iptables -I DOCKER-USER "${ISOLATION_RULE[@]}"
  printf '%s\n' "$bridge" >"$CACHE_DIR/isolated-bridge"
}

# open_cluster: takes that rule away again.
open_cluster() {
  [ -f "$CACHE_DIR/isolated-bridge" ] || return 0
  isolation_rule "$(cat "$CACHE_DIR/isolated-bridge")"
  while iptables -D DOCKER-USER "${ISOLATION_RULE[@]}" 2>/dev/null; do :; done
  rm -f "$CACHE_DIR/isolated-bridge"
}

isolation_rule() { ISOLATION_RULE=(-i "$1" ! -o "$1" -m conntrack --ctstate NEW -j REJECT); }
