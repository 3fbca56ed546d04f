-- depth: what is in a queue; writes nothing
-- KEYS  1 pending  2 workers  3 scheduled  4 dead  5 stats  6 paused
-- ARGV  1 task prefix  2 inflight prefix  3 how far to look ahead (ms)
-- Returns {pending, in flight, scheduled, dead, ms that the head has waited or -1,
--         ms until the next scheduled or -1, scheduled that fall due within ARGV 3, paused 0|1,
--         workers, Redis time, then counters}
-- include lib/now.lua
local now, in_flight = now_ms(), 0
local workers = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, worker in ipairs(workers) do
  in_flight = in_flight + redis.call('LLEN', ARGV[2] .. worker)
end
local oldest, head = -1, redis.call('LINDEX', KEYS[1], 0)
if head then
  local since = redis.call('HMGET', ARGV[1] .. head, 'pending_since', 'enqueued_at')
  oldest = math.max(0, now - tonumber(since[1] or since[2] or now))
end
local next_due, first = -1, redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if #first > 0 then next_due = math.max(0, tonumber(first[2]) - now) end
local reply = {redis.call('LLEN', KEYS[1]), in_flight, redis.call('ZCARD', KEYS[3]),
  redis.call('ZCARD', KEYS[4]), oldest, next_due,
  redis.call('ZCOUNT', KEYS[3], '-inf', now + tonumber(ARGV[3])), redis.call('EXISTS', KEYS[6]),
  #workers, now}
for _, value in ipairs(redis.call('HGETALL', KEYS[5])) do reply[#reply + 1] = value end
return reply
