#!/usr/bin/env bash
# Sourced: the image that kind makes nodes of. The public one if it is here or can be pulled;
# otherwise one built from Kubernetes' Go modules and Debian packages, whose tag carries the
# hash of its recipe. Needs lib.sh, go.sh, docker.sh and base-image.sh.

# Kubernetes' minor version is the one in go/kubernetes/go.mod; the digest is from the notes
# of the kind release in go/kind/go.mod.
PUBLIC_NODE_IMAGE=kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d

# own_node_image: the name that ours has, built or not.
own_node_image() {
  local recipe
  recipe=$(
    hash_of "$CLUSTER_DIR/node-image" "$CLUSTER_DIR/go/"{kubernetes,etcd,coredns,pause}
    declare -f make_rootfs go_build go_flags make_node_image control_plane_image
  )
  printf 'identtqueue/node:%s-%s\n' "$(module_version kubernetes)" "$(sha256sum <<<"$recipe" | cut -c1-12)"
}

# node_image: prints the name of the image to use, pulled or built if need be.
node_image() {
  local own
  own=$(own_node_image)
  if has_image "$own"; then
    printf '%s\n' "$own"
  elif has_image "$PUBLIC_NODE_IMAGE" || pull "$PUBLIC_NODE_IMAGE"; then
    printf '%s\n' "$PUBLIC_NODE_IMAGE"
  else
    build_node_image "$own"
    printf '%s\n' "$own"
  fi
}

pull() {
  step "pulling ${1%@*}"
  timeout 900 docker pull --quiet "$1" >/dev/null 2>&1 || { step "no image registry can be reached"; return 1; }
}

# Debian's base is made while the compiler runs: one waits for the network, the other does not.
build_node_image() {
  local image=$1 debian_job programs
  start_job debian_image >/dev/null
  debian_job=$!
  guard_job "$debian_job"
  for programs in kubernetes etcd coredns pause; do go_programs "$programs" >/dev/null; done
  wait "$debian_job"
  unguard_job
  make_node_image "$image" "$(debian_image)"
}

make_node_image() {
  local image=$1 debian=$2 build=$CACHE_DIR/tmp/node kubernetes names pause
  kubernetes=$(go_programs kubernetes)
  mapfile -t names < <("$kubernetes/kubeadm" config images list \
    --kubernetes-version "$(module_version kubernetes)" 2>/dev/null)
  pause=$(image_named pause "${names[@]}")
  rm -rf "$build"
  mkdir -p "$build"
  cp "$CLUSTER_DIR"/node-image/* "$build"
  ln "$kubernetes"/{kubelet,kubeadm,kubectl,kube-proxy} "$build" 2>/dev/null ||
    cp "$kubernetes"/{kubelet,kubeadm,kubectl,kube-proxy} "$build"
  quietly "image of the cluster's own pods" docker_build -t identtqueue/node-net:dev \
    --build-arg "BASE_IMAGE=$debian" -f "$build/net.Dockerfile" "$build"
  quietly "image of the nodes, empty" docker_build -t identtqueue/node:empty \
    --build-arg BASE_IMAGE=identtqueue/node-net:dev --build-arg "PAUSE_IMAGE=$pause" \
    --build-arg "KUBERNETES_VERSION=$(module_version kubernetes)" "$build"
  control_plane_images "$kubernetes" "${names[@]}"
  quietly "image of the nodes, with the control plane's images" preload "$image" "${names[@]}" identtqueue/node-net:dev
  rm -rf "$build"
}

image_named() {
  local wanted=$1 name
  for name in "${@:2}"; do
    case $name in */"$wanted":*) printf '%s\n' "$name" ;; esac
  done
}

# Each is one static program under the name that kubeadm will ask for.
control_plane_images() {
  local kubernetes=$1 program
  shift
  step "images of the control plane"
  for program in kube-apiserver kube-controller-manager kube-scheduler; do
    control_plane_image "$(image_named "$program" "$@")" "$kubernetes/$program" "$program"
  done
  control_plane_image "$(image_named etcd "$@")" "$(go_programs etcd)/server" etcd
  control_plane_image "$(image_named coredns "$@")" "$(go_programs coredns)/coredns" coredns
  control_plane_image "$(image_named pause "$@")" "$(go_programs pause)/pause" pause
  docker tag identtqueue/node-net:dev "$(image_named kube-proxy "$@")"
}

# control_plane_image IMAGE FILE PROGRAM. The manifests of CoreDNS and of the pod sandbox name
# no command, the others name the program itself.
control_plane_image() {
  local image=$1 file=$2 program=$3 change=(--change 'ENV PATH=/usr/local/bin')
  case $program in coredns | pause) change+=(--change "ENTRYPOINT [\"/usr/local/bin/$program\"]") ;; esac
  tar -C "$(dirname "$file")" --owner=0 --group=0 --transform "s|.*|usr/local/bin/$program|" \
    -c "$(basename "$file")" | docker import "${change[@]}" - "$image" >/dev/null
}

preload() {
  local image=$1 container=identtqueue-preload
  shift
  docker rm --force "$container" >/dev/null 2>&1 || true
  docker save "$@" | docker run --interactive --privileged --name "$container" \
    --entrypoint /kind/preload identtqueue/node:empty || return
  docker commit --change 'ENTRYPOINT ["/kind/supervisor"]' "$container" "$image" || return
  docker rm "$container"
}
