"""The cluster: `client` asks the `api`, by `requests`; `parse` reads, and `cache` remembers.

`pod_watch` and `packed_pods` keep the pods, `autoscalers` lists other autoscalers, and `leader`
elects one operator. No other room imports a Kubernetes client.
"""
