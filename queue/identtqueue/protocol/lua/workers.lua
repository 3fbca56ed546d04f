-- workers: lists the workers of a queue; writes nothing
-- KEYS  1 workers  2 info  3 draining
-- ARGV  1 inflight prefix
-- Returns per worker: id, ms until its lease expires (negative: it has), number of tasks in flight,
--         draining 0|1, info
-- include lib/now.lua
local now, reply = now_ms(), {}
local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  local worker = leases[i]
  reply[#reply + 1] = worker
  reply[#reply + 1] = tonumber(leases[i + 1]) - now
  reply[#reply + 1] = redis.call('LLEN', ARGV[1] .. worker)
  reply[#reply + 1] = redis.call('SISMEMBER', KEYS[3], worker)
  reply[#reply + 1] = redis.call('HGET', KEYS[2], worker) or ''
end
return reply
