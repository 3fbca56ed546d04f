-- enlist: notes in the registry that queues are in use, and forgets those that have not been for
-- long
-- KEYS  1 queues
-- ARGV  1 kept_ms: how long a queue is remembered  2 most: how many queues are remembered
--       3.. names of queues
-- Returns "ok"
-- include lib/now.lua
local now = now_ms()
local old = redis.call('ZRANGEBYSCORE', queues, '-inf', now - tonumber(kept_ms), 'LIMIT', 0, 500)
if #old > 0 then redis.call('ZREM', queues, unpack(old)) end
for i = LIST_START, #ARGV do redis.call('ZADD', queues, now, ARGV[i]) end
local over = redis.call('ZCOUNT', queues, '-inf', '+inf') - tonumber(most)
if over > 0 then
  redis.call('ZREM', queues, unpack(redis.call('ZRANGE', queues, 0, math.min(over, 500) - 1)))
end
return 'ok'
