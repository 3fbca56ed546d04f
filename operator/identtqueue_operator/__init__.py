"""The Kubernetes operator of idenTTqueue: scales workers by list length, recovers dead pods' tasks.

Read in this order: `api/v1alpha1.py` (what a user writes), `model.py` (what is known and what is
decided), `decide.py` (all policy, pure), `reconcile.py` (observe -> decide -> act -> report).
"""
