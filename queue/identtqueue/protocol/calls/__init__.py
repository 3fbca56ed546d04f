"""The calls of the protocol: one typed function builds each, and another one parses its reply.

A module is about one noun, and says who calls it. `protocol/call.py` says what a call is. All times
are in ms. The header of each script says what it returns.
"""
