"""The queues, as the operator sees them, through the library's `admin`.

`endpoints` finds the Redis of a TaskQueue, with credentials from `secrets`. `endpoint` is one
Redis, and its parts are `listeners`, `health`, `doorbell` and `poll`. `connections` holds the
endpoints of one TaskQueue. `gate` bounds how many connect at a time, `redis_errors` explains
errors, and `shared` finds TaskQueues with the same queue.
"""
