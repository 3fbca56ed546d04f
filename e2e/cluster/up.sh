#!/usr/bin/env bash
# Brings up the cluster that the end-to-end tests and the demo run on, and prints the path of
# its kubeconfig. Run again, it returns within seconds if the cluster is well.
#   1. KUBECONFIG is set: that cluster is used as it is.
#   2. A Docker daemon runs and the public node image can be pulled: a plain kind cluster.
#   3. Otherwise Docker comes from Debian's packages, the tools and the node image are built
#      from Go modules and Debian packages (about 10 minutes on two cores, the first time
#      only), and a private Docker daemon is started where none runs.
# A node that was killed comes back by `docker start NODE`; this script does it too. If that
# does not make the cluster well, or the private daemon itself had died, the cluster is
# deleted and created anew, which is quicker and surer than to nurse it.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
for part in lib go docker base-image node-image cluster; do
  # shellcheck source=/dev/null
  . "$here/$part.sh"
done

main() {
  if [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$OWN_KUBECONFIG" ]; then
    use_given_cluster
    return
  fi
  export PATH=$CACHE_DIR/bin:$PATH
  with_lock cluster bring_up
  printf '%s\n' "$OWN_KUBECONFIG"
}

use_given_cluster() {
  local kubectl
  kubectl=$("$CLUSTER_DIR/tools.sh" kubectl)
  step "KUBECONFIG is set: using that cluster as it is ($("$kubectl" config current-context))"
  "$kubectl" --request-timeout 10s get --raw /readyz >/dev/null || die "the cluster of $KUBECONFIG does not answer"
  printf '%s\n' "$KUBECONFIG"
}

bring_up() {
  local image
  if ! use_docker; then
    forget_old_cluster
  fi
  "$CLUSTER_DIR/tools.sh" kind >/dev/null
  if cluster_exists && reuse_cluster; then
    return
  fi
  ! cluster_exists || delete_cluster
  image=$(node_image)
  create_cluster "$image"
  [ "${DOCKER_HOST:-}" != "unix://$DOCKER_SOCKET" ] || isolate_cluster
  provide_kubectl "$image"
  wait_until_well
}

# The daemon has just been started: nodes that it finds in its data died with the last one.
forget_old_cluster() {
  cluster_nodes | xargs -r docker rm --force --volumes >/dev/null
}

reuse_cluster() {
  provide_kubectl || return
  export_kubeconfig || return
  if cluster_is_healthy 2>/dev/null; then
    step "the cluster is up already"
  else
    step "the cluster is not well: trying to mend it"
    revive_cluster || return
  fi
}

# The public node image has a kubectl in it, which saves building one.
provide_kubectl() {
  local image=${1:-}
  [ "$image" != "$PUBLIC_NODE_IMAGE" ] || {
    docker cp "$CLUSTER_NAME-control-plane:/usr/bin/kubectl" "$CACHE_DIR/bin/.kubectl.$$"
    mv -f "$CACHE_DIR/bin/.kubectl.$$" "$CACHE_DIR/bin/kubectl"
  }
  "$CLUSTER_DIR/tools.sh" kubectl >/dev/null
}

wait_until_well() {
  step "waiting for nodes, DNS and service addresses"
  wait_for 120 "the nodes" cluster_is_healthy || die "the nodes did not become ready: docker logs NODE tells why"
  local workload
  for workload in daemonset/kube-proxy daemonset/pod-routes deployment/coredns; do
    own_kubectl --request-timeout 0 --namespace kube-system rollout status "$workload" --timeout 120s >/dev/null ||
      die "$workload did not become ready"
  done
  step "the cluster is up"
}

main
