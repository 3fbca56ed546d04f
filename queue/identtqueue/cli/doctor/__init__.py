"""The checks of `identtqueue doctor`. They read, and change nothing.

`facts` is what was read. Each check is a function of the facts that returns findings: `server`,
`link`, `rights`, `queues` and `workers` hold those about one thing. `examination` reads the facts
and runs all checks, and `report` shows what they have found.
"""
