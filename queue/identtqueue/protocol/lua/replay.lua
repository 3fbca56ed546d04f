-- replay: failed -> pending; failures and losses start again at 0, attempts are counted on. The
-- task takes its unique key back. It stays a dead letter while another task holds that key
-- KEYS  1 dead  2 pending  3 wake  4 stats  5 tombstones  6 answer:<call>
-- ARGV  1 task_prefix  2 doorbell  3 id  4 unique_prefix
-- Returns "ok" | "missing" | "not dead" | "unique"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/tombstones.lua
-- include lib/once.lua
local known = first_answer(answer)
if known then return known end
local key = task_prefix .. id
local state, payload, unique, unique_ttl = unpack(
  redis.call('HMGET', key, 'state', 'payload', 'unique', 'unique_ttl'))
if not state then return 'missing' end
if state ~= 'failed' or not payload then return 'not dead' end
if unique then
  if redis.call('SETNX', unique_prefix .. unique, id) == 0 then return 'unique' end
  -- Older clients kept no time: a day.
  redis.call('PEXPIRE', unique_prefix .. unique, unique_ttl or 86400000)
end
local before = living(pending, tombstones, task_prefix)
redis.call('ZREM', dead, id)
redis.call('PERSIST', key)
redis.call('HDEL', key, 'error', 'finished_at', 'failures', 'losses', 'cancel', 'expires_at',
  'suspect', 'declined', 'declined_since', 'declines', 'unstarted')
redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ms())
redis.call('RPUSH', pending, id)
redis.call('HINCRBY', stats, 'replayed', 1)
ring(pending, wake, doorbell, before)
return remember(answer, 'ok')
