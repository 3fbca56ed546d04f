"""Tools of the end-to-end tests: the cluster, a release of the chart, Redis in it, a workload."""
