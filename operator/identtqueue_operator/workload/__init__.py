"""The workload that a TaskQueue scales: of which kind it is, and which pods are its own.

`kind` says what the operator has to know of a kind; `kinds` lists those it knows, of which
`deployment` and `stateful_set` are watched; `scales` reads all others. `lookup` finds a workload,
through `owners` and `members`, and writes its number. `template` composes the Deployment of a
TaskQueue with `template`, and `owned` keeps it. No other room knows one kind from another.
"""
