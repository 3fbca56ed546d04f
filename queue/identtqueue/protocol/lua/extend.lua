-- extend: renews a lease, also one that has expired but was not recovered. Recovery would have
-- removed it from the set, so the worker still owns all its tasks.
-- KEYS  1 workers  2 draining
-- ARGV  1 worker  2 lease_ms
-- Returns "lost" | "draining" | "ok"
-- include lib/now.lua
if tonumber(redis.call('ZSCORE', workers, worker) or 0) == 0 then return 'lost' end
redis.call('ZREM', workers, worker)  -- first: it is allowed at maxmemory
redis.call('ZADD', workers, now_ms() + tonumber(lease_ms), worker)
if redis.call('SISMEMBER', draining, worker) == 1 then return 'draining' end
return 'ok'
