-- extend: renews a lease, also one that has expired but was not recovered. Recovery would have
-- removed it from the set, so the worker still owns all its tasks.
-- KEYS  1 workers  2 draining
-- ARGV  1 worker  2 lease (ms)
-- Returns "lost" | "draining" | "ok"
-- include lib/now.lua
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) == 0 then return 'lost' end
redis.call('ZREM', KEYS[1], ARGV[1])  -- first: it is allowed at maxmemory
redis.call('ZADD', KEYS[1], now_ms() + tonumber(ARGV[2]), ARGV[1])
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 'draining' end
return 'ok'
