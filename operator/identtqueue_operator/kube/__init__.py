"""The cluster: `client` asks, by `requests`; `parse` reads the answers, and `cache` remembers them.

`pod_watch` and `packed_pods` keep the pods, `autoscalers` lists other autoscalers, and `leader`
elects one operator. No other room imports a Kubernetes client.
"""
