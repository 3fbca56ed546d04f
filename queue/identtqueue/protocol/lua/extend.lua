-- extend: renews a lease. One that ran out but was not recovered is renewed too: recovery would
-- have removed it, so the worker still owns all it has.
-- KEYS  1 workers  2 draining
-- ARGV  1 worker  2 lease (ms)
-- Returns "lost" | "draining" | "ok"
-- include lib/now.lua
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) == 0 then return 'lost' end
redis.call('ZREM', KEYS[1], ARGV[1])  -- first, for the sake of maxmemory
redis.call('ZADD', KEYS[1], now_ms() + tonumber(ARGV[2]), ARGV[1])
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 'draining' end
return 'ok'
