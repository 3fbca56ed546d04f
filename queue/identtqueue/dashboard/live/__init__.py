"""Pages that keep showing what is: one look at Redis feeds all browsers that show the same.

A `View` says how a page is read and which parts of it are live. The `Hub` reads it again while
somebody looks, whatever the number of browsers, and `stream` sends each browser what has changed.
"""
