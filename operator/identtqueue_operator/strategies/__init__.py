"""The scaling strategies, pure: how many replicas the queues of a trigger ask for.

A strategy is one class in a module of its own: its settings, which are a part of the resource, and
its calculation. `choice` lists the strategies and makes of them what a user writes. Everything else
follows from a strategy's class: its rules in the CRD, the reasons of its decisions, and their label
in the metrics. docs/first-change.md adds one, step by step.
"""
