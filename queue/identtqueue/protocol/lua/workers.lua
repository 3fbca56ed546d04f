-- workers: lists the workers of a queue; writes nothing
-- KEYS  1 workers  2 info  3 draining
-- ARGV  1 inflight_prefix
-- Returns per worker: id, ms until its lease expires (negative: it has), number of tasks in flight,
--         draining 0|1, info
-- include lib/now.lua
local now, reply = now_ms(), {}
local leases = redis.call('ZRANGE', workers, 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  local worker, expires_at = leases[i], leases[i + 1]
  reply[#reply + 1] = worker
  reply[#reply + 1] = tonumber(expires_at) - now
  reply[#reply + 1] = redis.call('LLEN', inflight_prefix .. worker)
  reply[#reply + 1] = redis.call('SISMEMBER', draining, worker)
  reply[#reply + 1] = redis.call('HGET', info, worker) or ''
end
return reply
