-- leave: gives a worker's lease back
-- KEYS  1 inflight:<worker>  2 workers  3 info  4 draining
-- ARGV  1 worker
-- Returns "ok" | "busy" (it owns tasks: release them first)
if redis.call('LLEN', inflight) > 0 then return 'busy' end
redis.call('ZREM', workers, worker)
redis.call('HDEL', info, worker)
redis.call('SREM', draining, worker)
return 'ok'
