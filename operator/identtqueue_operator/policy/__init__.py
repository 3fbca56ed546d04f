"""All decisions, pure: values in, values out. No module here does I/O or looks at a clock.

`decide` is the whole decision. `wishes`, `traffic`, `steps`, `schedules` and `pod_startup` say how
many replicas; `drain` and `victims` say which pods go; `evidence` finds dead workers; `health` says
whether anybody works; `claims` and `foreign_changes` settle who else has a say.
"""
