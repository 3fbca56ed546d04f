"""The protocol: keys, states, scripts, commands. No I/O of its own."""
