"""The live screen of `identtqueue top`.

`reading` asks Redis and makes a `snapshot`. `view` is what the user has chosen, by `keys`. `screen`
draws both as lines of text, and `canvas` finds out what has changed since the last time, so that
only that is sent. `terminal` has the terminal, and gives it back as it was. `loop` holds it all
together.
"""
