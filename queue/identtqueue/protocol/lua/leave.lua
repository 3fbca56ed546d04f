-- leave: gives a worker's lease back
-- KEYS  1 inflight:<worker>  2 workers  3 info  4 draining
-- ARGV  1 worker
-- Returns "ok" | "busy" (it owns tasks: release them first)
if redis.call('LLEN', KEYS[1]) > 0 then return 'busy' end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
return 'ok'
