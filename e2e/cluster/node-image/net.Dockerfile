# What the cluster's own pods need (kube-proxy, pod routes, local volumes), and the ground of the
# node itself, so that a node holds these packages once.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends \
    ca-certificates conntrack ethtool iproute2 iptables kmod procps \
 && rm -rf /var/lib/apt/lists/*
COPY kube-proxy kubectl /usr/local/bin/
COPY pod-routes local-volumes /usr/local/bin/
