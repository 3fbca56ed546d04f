#!/usr/bin/env bash
# Sourced: the images that stand in for the public ones where no registry can be reached, all
# on one Debian layer, so that a node stores and receives it once. Their tags carry the hash
# of the recipe.

# debian_image: prints the name of the Debian base, made by debootstrap if need be.
debian_image() {
  local image
  image=identtqueue/debian:bookworm-$(declare -f make_rootfs | sha256sum | cut -c1-12)
  has_image "$image" || make_debian_image "$image"
  printf '%s\n' "$image"
}

# python_image: prints the name of the base of the operator and of the examples.
python_image() {
  local image debian
  debian=$(debian_image)
  image=identtqueue/python:3.11-$({ echo "$debian"; hash_of "$CLUSTER_DIR/base-image"; } | sha256sum | cut -c1-12)
  has_image "$image" ||
    quietly "image $image" docker_build -t "$image" --build-arg "BASE_IMAGE=$debian" \
      -f "$CLUSTER_DIR/base-image/python.Dockerfile" "$CLUSTER_DIR/base-image"
  printf '%s\n' "$image"
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The old builder needs no plugin; the new one is taken where its plugin is there.
docker_build() {
  local buildkit=0
  ! docker buildx version >/dev/null 2>&1 || buildkit=1
  DOCKER_BUILDKIT=$buildkit docker build "$@"
}

make_debian_image() {
  local image=$1 rootfs=$CACHE_DIR/tmp/rootfs
  debian_packages debootstrap=debootstrap
  need_root debootstrap
  rm -rf "$rootfs"
  mkdir -p "$rootfs"
  quietly "Debian base system (debootstrap)" make_rootfs "$rootfs"
  tar -C "$rootfs" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
  rm -rf "$rootfs"
}

# No mirror is named: debootstrap takes Debian's default.
make_rootfs() {
  debootstrap --variant=minbase bookworm "$1" || return
  rm -rf "$1"/usr/share/{doc,man,info,locale}/* "$1"/var/cache/apt/*.bin \
    "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/var/log/*.log
  printf 'path-exclude=/usr/share/%s/*\n' doc man info locale >"$1/etc/dpkg/dpkg.cfg.d/slim"
  # apt's indexes and packages would stay in the layer of each image built on this one.
  cat >"$1/etc/apt/apt.conf.d/slim" <<'CONF'
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
CONF
  # Read as "no service manager": packages must not start daemons while an image is built.
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"
}
