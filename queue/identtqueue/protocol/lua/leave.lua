-- leave: gives a worker's lease back
-- KEYS  1 inflight:<worker>  2 workers  3 info  4 draining  5 counted
-- ARGV  1 worker
-- Returns "ok" | "busy" (it owns tasks: release them first)
-- include lib/forget_worker.lua
if redis.call('LLEN', inflight) > 0 then return 'busy' end
redis.call('ZREM', workers, worker)
forget_worker(info, draining, counted, worker)
return 'ok'
