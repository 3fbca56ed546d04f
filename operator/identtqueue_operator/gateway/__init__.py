"""The gateway: the HTTP API by which people reach the queues of a TaskQueue through the operator.

It is what `kubectl tq` asks. Callers need no access to Redis. `callers` has the API server say who
they are and what they may do, `directory` finds the queues that a TaskQueue names, `reading` and
`acting` answer, and `server` listens, on the pod's loopback address only
([ADR 46](../../../docs/adr/046-the-way-of-kubectl-to-redis.md)).
"""
