"""The rounds of a TaskQueue: the `reconciler` observes, decides, acts and reports, again and again.

`observe` reads what a decision needs, and `act` carries the decision out.
"""
