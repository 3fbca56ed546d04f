"""What the end-to-end tests use: the cluster, a release of the chart, Redis in it, a workload."""
