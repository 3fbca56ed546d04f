"""The Kubernetes operator of idenTTqueue: scales workers by list length, recovers dead pods' tasks.

Read in this order: `api/v1alpha1/` (what a user writes), `model/` (what is known and what is
decided), `strategies/` and `policy/decide.py` (all policy, pure), `rounds/reconciler.py` (observe,
decide, act, report). The other rooms: `queues/` reads Redis, `kube/` and `workload/` read and
write the cluster, `status/` reports to the user. `local/` runs all of it without Kubernetes.
"""
