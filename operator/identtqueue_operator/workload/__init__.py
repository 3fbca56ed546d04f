"""The workload that a TaskQueue scales: of which kind it is, and which pods are its own.

`lookup` finds it, through `kinds`, `owners` and `members`. `template` composes the Deployment of a
TaskQueue with `template`, and `owned` keeps it.
"""
