"""How the command line shows things.

`table` shows rows, `task` one task, `values` JSON. `terminal` knows whether a person looks: then
there is colour, else aligned text without it. ADR 44 says what each form promises.
"""
