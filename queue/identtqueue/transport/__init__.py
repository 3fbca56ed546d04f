"""Connections to Redis: for asyncio, for blocking code, and for pub/sub.

Where Redis is: `settings` (address, login, time-outs), `address` (its forms), `connect` (makes the
connection that fits), `reach` (which addresses may be connected to).

A call on its way:

| | asyncio | threads |
|---|---|---|
| takes calls, parses replies | `connection` | `blocking` |
| gathers calls into batches | `pipeline`, `lanes` | `combine` |
| route to one server | `single` | `blocking_single` |
| route to a cluster | `cluster`, `node` | `blocking_cluster` |
| one open connection | `link` | `blocking_line` |

Both encode with `wire`, translate errors with `refusals`, and pause with `backoff`. Both open
connections with `login`, which uses `dial` (TCP), `sentinel`, `slot_map` (of a cluster), `server`
(is it new enough, and of the right kind?) and `tls` (why did it fail?). `budget` bounds what a
server may send.

`subscriber` is the pub/sub connection. `home` and `lifecycle` say to which event loop and process
connections belong, and when they are closed. `offload` runs blocking calls in threads, and `outage`
logs failures.
"""
