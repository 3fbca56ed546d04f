-- hasten: makes a scheduled task due now. The next claim or promotion starts it
-- KEYS  1 scheduled  2 wake  3 answer:<call>
-- ARGV  1 task_prefix  2 doorbell  3 id
-- Returns "ok" | "missing" | "not scheduled"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
local known = first_answer(answer)
if known then return known end
local state = redis.call('HGET', task_prefix .. id, 'state')
if not state then return 'missing' end
if state ~= 'scheduled' then return 'not scheduled' end
local now = now_ms()
local due = tonumber(redis.call('ZSCORE', scheduled, id) or now)
redis.call('ZREM', scheduled, id)  -- first: it is allowed at maxmemory
redis.call('ZADD', scheduled, math.min(due, now), id)
ring_for_schedule(wake, doorbell)
return remember(answer, 'ok')
