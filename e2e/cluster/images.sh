#!/usr/bin/env bash
# Builds images and loads them onto every worker node of the cluster:
#   images.sh [operator] [redis] [before] [example DIR...]   (all but `before`, without an argument)
# The names are identtqueue/operator:dev, identtqueue/redis:dev, identtqueue/<example>:dev, and
# identtqueue/operator:before, the operator of an earlier release, for upgrades and their way back.
# What has not changed is neither built nor loaded again. Where the cluster was made without
# an image registry, the bases are ours instead of the public ones.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
for part in lib docker base-image wheels cluster env; do
  # shellcheck source=/dev/null
  . "$here/$part.sh"
done

INPUTS_LABEL=identtqueue.dev/inputs
FIRST_VERSION=3aeff55  # of protocol 2: an earlier one refuses the queues of this one
LOADED_LABEL=identtqueue.dev/image-id

main() {
  local images=() example
  [ $# -gt 0 ] || set -- operator redis example "$(all_examples)"
  docker info >/dev/null 2>&1 || die "no Docker daemon: run up.sh first"
  find_cluster
  while [ $# -gt 0 ]; do
    case $1 in
      operator)
        build_operator
        images+=(identtqueue/operator:dev)
        ;;
      redis)
        build_redis
        images+=(identtqueue/redis:dev)
        ;;
      before)
        build_before
        images+=(identtqueue/operator:before)
        ;;
      example)
        shift
        # shellcheck disable=SC2048  # the names of folders, without blanks
        for example in $*; do
          build_example "$example"
          images+=("$(example_image "$example")")
        done
        break
        ;;
      *) die "unknown image: $1 (operator, redis, before, or example DIR...)" ;;
    esac
    shift
  done
  load_images "${images[@]}"
}

# find_cluster: the kind cluster that kubectl means here, ours or the user's, and its nodes
# that run pods. Its control plane takes none if there are workers.
find_cluster() {
  local context
  context=$(sed -n 's/^current-context: *//p' "$KUBECONFIG" 2>/dev/null || true)
  CLUSTER_NAME=${context#kind-}
  NODES=$(cluster_workers)
  NODES=${NODES:-$(cluster_nodes)}
  if [ -z "$context" ] || [ -z "$NODES" ]; then
    say "The cluster of $KUBECONFIG (context '$context') has no node in this Docker daemon,"
    die "so images can't be loaded into it: run up.sh, or push them where it pulls from"
  fi
}

# base_of PUBLIC OURS...: the public image, unless the nodes were made without a registry.
base_of() {
  case $(docker inspect "$(head -n 1 <<<"$NODES")" --format '{{.Config.Image}}') in
    identtqueue/node:*) "${@:2}" ;;
    *) printf '%s\n' "$1" ;;
  esac
}

build_operator() {
  local base
  base=$(base_of python:3.11-slim-bookworm python_image)
  context_of operator
  build identtqueue/operator:dev "$base" operator/Dockerfile \
    fill_operator queue operator pyproject.toml requirements/operator.txt
}

fill_operator() {
  collect_wheels operator.txt
  put_own_wheel "$CONTEXT/own"
}

# Its sources, of the last tag or else of the first version that had all its parts, stay in the
# clone's state folder, where the tests find its chart.
build_before() {
  local commit tree=$STATE_DIR/before
  commit=$(git -C "$ROOT_DIR" describe --tags --abbrev=0 HEAD^ 2>/dev/null || echo "$FIRST_VERSION")
  [ "$(cat "$tree/.commit" 2>/dev/null)" = "$commit" ] || {
    rm -rf "$tree"
    mkdir -p "$tree"
    git -C "$ROOT_DIR" archive "$commit" | tar -x -C "$tree" || die "no commit $commit here: git fetch --unshallow --tags"
    echo "$commit" >"$tree/.commit"
  }
  # A subshell: in it, the sources are those.
  (
    python=$(host_python)
    host_python() { echo "$python"; }
    ROOT_DIR=$tree
    base=$(base_of python:3.11-slim-bookworm python_image)
    context_of operator-before
    build identtqueue/operator:before "$base" operator/Dockerfile \
      fill_operator queue operator pyproject.toml requirements/operator.txt
  )
}

build_redis() {
  local base
  base=$(base_of redis:7.4-bookworm debian_image)
  context_of redis
  build identtqueue/redis:dev "$base" e2e/cluster/images/redis/Dockerfile true
}

build_example() {
  local base folder
  folder=$(example_folder "$1")
  base=$(base_of python:3.11-slim-bookworm python_image)
  context_of "$(basename "$folder")"
  EXAMPLE=$folder
  build "$(example_image "$1")" "$base" "$folder/Dockerfile" \
    fill_example "$folder" queue operator pyproject.toml requirements/worker.txt
}

# An example may bring a lock file of its own beside the worker's.
fill_example() {
  cp -R "$ROOT_DIR/$EXAMPLE/." "$CONTEXT"
  find "$CONTEXT" -name __pycache__ -prune -exec rm -rf {} +
  collect_wheels worker.txt
  [ ! -f "$CONTEXT/requirements.txt" ] || add_wheels "$CONTEXT/requirements.txt"
  put_own_wheel "$CONTEXT/wheels"
}

all_examples() {
  local dockerfile
  for dockerfile in "$ROOT_DIR"/examples/*/Dockerfile; do
    [ ! -f "$dockerfile" ] || basename "$(dirname "$dockerfile")"
  done
}

# A folder that is a Python package can't have a hyphen, an image is not named with underscores.
example_folder() {
  local name
  for name in "$1" "${1//-/_}"; do
    [ ! -f "$ROOT_DIR/examples/$name/Dockerfile" ] || { echo "examples/$name"; return; }
  done
  die "there is no examples/$1/Dockerfile"
}

example_image() { echo "identtqueue/${1//_/-}:dev"; }

context_of() { CONTEXT=$STATE_DIR/build/$1; }

# build IMAGE BASE DOCKERFILE FILL INPUT...: FILL puts into $CONTEXT what the Dockerfile
# copies; it is called only if an input, the Dockerfile or the base has changed.
build() {
  local image=$1 base=$2 dockerfile=$3 fill=$4 inputs
  inputs=$({ echo "$base"; hash_of "$dockerfile" "${@:5}"; } | sha256sum | cut -c1-12)
  [ "$(docker image inspect "$image" --format "{{index .Config.Labels \"$INPUTS_LABEL\"}}" 2>/dev/null)" != "$inputs" ] || {
    step "$image is up to date"
    return
  }
  rm -rf "$CONTEXT"
  mkdir -p "$CONTEXT"
  "$fill"
  cp "$ROOT_DIR/$dockerfile" "$CONTEXT/Dockerfile"
  quietly "image $image" docker_build -t "$image" --build-arg "BASE_IMAGE=$base" --label "$INPUTS_LABEL=$inputs" "$CONTEXT"
}

# kind's own check needs a crictl in the node; a label on the node's copy works with any.
load_images() {
  local image id node missing=()
  for image in "$@"; do
    id=$(docker image inspect "$image" --format '{{.Id}}')
    for node in $NODES; do
      node_has "$node" "$image" "$id" || { missing+=("$image"); break; }
    done
  done
  [ ${#missing[@]} -gt 0 ] || { step "the nodes have these images already"; return 0; }
  quietly "loading onto the nodes: ${missing[*]}" kind load docker-image \
    --name "$CLUSTER_NAME" --nodes "$(paste -sd, <<<"$NODES")" "${missing[@]}"
  for node in $NODES; do
    for image in "${missing[@]}"; do
      id=$(docker image inspect "$image" --format '{{.Id}}')
      in_containerd "$node" images label "docker.io/$image" "$LOADED_LABEL=$id" >/dev/null
    done
    drop_untagged "$node"
  done
}

# Each import leaves two names besides the tag (import-..., sha256:...), and they would keep the
# layers of every image that was ever loaded. What no tag points to any more is taken out;
# containers that run of it keep their files.
drop_untagged() {
  in_containerd "$1" images ls | awk 'NR > 1 {
      if ($1 ~ /^(import-|sha256:)/) digest[$1] = $3; else tagged[$3] = 1
    }
    END { for (name in digest) if (name ~ /^import-/ || !(digest[name] in tagged)) print name }' |
    xargs -r docker exec "$1" ctr --namespace k8s.io images rm >/dev/null
}

node_has() { in_containerd "$1" images ls "name==docker.io/$2" 2>/dev/null | grep -qF "$LOADED_LABEL=$3"; }

in_containerd() { docker exec "$1" ctr --namespace k8s.io "${@:2}"; }

# Several test runs at once would build the same image at once.
with_lock images main "$@"
