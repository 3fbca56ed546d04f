"""The rounds of a TaskQueue: the `reconciler` observes, decides, acts and reports, again and again.

`resource` reads what the TaskQueue asks for, `observe` what a decision needs; `scaler` has the
policy decide, and `act` carries it out. `reporter` passes rounds on to the status writer, `release`
lets go of what a TaskQueue no longer names, and `ownership` settles who manages it. `alarm` wakes
the loop. `tools` are what all TaskQueues share.
"""
