#!/usr/bin/env bash
# To be sourced: the environment in which kubectl, helm, kind and docker mean our cluster.
# Sets KUBECONFIG (unless the user set one), DOCKER_HOST (if our private daemon runs) and
# PATH (our tools first). Quick, and changes nothing on the machine.

_idtq_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
_idtq_bin=${XDG_CACHE_HOME:-$HOME/.cache}/identtqueue/bin
_idtq_run=/run/identtqueue

export KUBECONFIG=${KUBECONFIG:-$(dirname "$(dirname "$_idtq_here")")/.cluster/kubeconfig}

case :$PATH: in
  *":$_idtq_bin:"*) ;;
  *) export PATH=$_idtq_bin:$PATH ;;
esac

# A pid file alone proves nothing: after a crash the number may be somebody else's.
if [ "$(cat "/proc/$(cat $_idtq_run/docker.pid 2>/dev/null)/comm" 2>/dev/null)" = dockerd ]; then
  export DOCKER_HOST=unix://$_idtq_run/docker.sock
fi

unset _idtq_here _idtq_bin _idtq_run
