# What the pods of the host's network need (kube-proxy, the pod routes), and the ground of the
# node itself: so the nodes hold these packages once.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends \
    ca-certificates conntrack ethtool iproute2 iptables kmod procps \
 && rm -rf /var/lib/apt/lists/*
COPY kube-proxy kubectl /usr/local/bin/
COPY pod-routes /usr/local/bin/
