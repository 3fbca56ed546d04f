"""`identtqueue exporter`: metrics of queues for Prometheus, without Kubernetes.

`numbers` reads the queues of one Redis when Prometheus asks, and makes metrics of what it has read.
`server` answers over HTTP, `access` decides who is answered.
"""
