#!/usr/bin/env bash
# Sourced, after lib.sh and docker.sh: questions and orders to the kind cluster.

# The names of its nodes, running or not.
cluster_nodes() { nodes_labelled io.x-k8s.kind.role; }
cluster_workers() { nodes_labelled io.x-k8s.kind.role=worker; }

nodes_labelled() {
  docker ps --all --filter "label=io.x-k8s.kind.cluster=$CLUSTER_NAME" --filter "label=$1" \
    --format '{{.Names}}' | sort
}

cluster_exists() { [ -n "$(cluster_nodes 2>/dev/null)" ]; }

# Each clone has a kubeconfig of its own for the one cluster. kubectl gets it by name, so that
# a KUBECONFIG of the caller's can't send an order to the wrong place.
own_kubectl() { kubectl --kubeconfig "$OWN_KUBECONFIG" --request-timeout 5s "$@"; }

export_kubeconfig() {
  mkdir -p "$STATE_DIR"
  kind get kubeconfig --name "$CLUSTER_NAME" >"$OWN_KUBECONFIG.new" 2>/dev/null || return
  chmod 600 "$OWN_KUBECONFIG.new"
  mv "$OWN_KUBECONFIG.new" "$OWN_KUBECONFIG"
}

# cluster_is_healthy: all the nodes of kind.yaml are there, run and are Ready.
cluster_is_healthy() {
  local wanted ready
  wanted=$(grep -c '^- role:' "$CLUSTER_DIR/kind.yaml")
  [ "$(docker ps --quiet --filter "label=io.x-k8s.kind.cluster=$CLUSTER_NAME" | wc -l)" = "$wanted" ] || return
  ready=$(own_kubectl get nodes \
    -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' | grep -c True)
  [ "$ready" = "$wanted" ]
}

# revive_cluster: starts nodes that were stopped or killed. Returns 1 if that does not help.
revive_cluster() {
  local node before
  for node in $(cluster_nodes); do
    [ "$(docker inspect "$node" --format '{{.State.Running}}')" = true ] || {
      step "node $node is down: starting it"
      before=$(heartbeat "$node")
      docker start "$node" >/dev/null || return
      wait_for 60 "a sign of life from $node" heartbeat_after "$node" "$before" || return
    }
  done
  wait_for 60 "the cluster's nodes" cluster_is_healthy
}

# A node that has just died is Ready in the API for 40 seconds more: only a new heartbeat tells
# that it is back.
heartbeat() {
  own_kubectl --namespace kube-node-lease get lease "$1" -o 'jsonpath={.spec.renewTime}' 2>/dev/null || true
}

heartbeat_after() {
  local now
  now=$(heartbeat "$1")
  [ -n "$now" ] && [ "$now" != "$2" ]
}

delete_cluster() {
  step "deleting the cluster"
  kind delete cluster --name "$CLUSTER_NAME" --kubeconfig "$OWN_KUBECONFIG" >/dev/null 2>&1 || {
    cluster_nodes | xargs -r docker rm --force --volumes >/dev/null
  }
  rm -f "$OWN_KUBECONFIG"
}

create_cluster() {
  mkdir -p "$STATE_DIR"
  quietly "creating the cluster of $(cut -d@ -f1 <<<"$1")" kind create cluster --name "$CLUSTER_NAME" --image "$1" \
    --config "$CLUSTER_DIR/kind.yaml" --kubeconfig "$OWN_KUBECONFIG" --retain
}
