-- replay: failed -> pending; failures and losses start again at 0, attempts are counted on. The
-- task takes its unique key back. It stays a dead letter while another task holds that key
-- KEYS  1 dead  2 pending  3 wake  4 stats  5 tombstones  6 answer:<call>
-- ARGV  1 task prefix  2 doorbell  3 id  4 unique prefix
-- Returns "ok" | "missing" | "not dead" | "unique"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/tombstones.lua
-- include lib/once.lua
local known = first_answer(KEYS[6])
if known then return known end
local id, key = ARGV[3], ARGV[1] .. ARGV[3]
local task = redis.call('HMGET', key, 'state', 'payload', 'unique', 'unique_ttl')
if not task[1] then return 'missing' end
if task[1] ~= 'failed' or not task[2] then return 'not dead' end
if task[3] then
  local unique = ARGV[4] .. task[3]
  if redis.call('SETNX', unique, id) == 0 then return 'unique' end
  redis.call('PEXPIRE', unique, task[4] or 86400000)  -- older clients kept no time: a day
end
local before = living(KEYS[2], KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[1], id)
redis.call('PERSIST', key)
redis.call('HDEL', key, 'error', 'finished_at', 'failures', 'losses', 'cancel', 'expires_at',
  'suspect', 'declined', 'declined_since', 'declines', 'unstarted')
redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ms())
redis.call('RPUSH', KEYS[2], id)
redis.call('HINCRBY', KEYS[4], 'replayed', 1)
ring(KEYS[2], KEYS[3], ARGV[2], before)
return remember(KEYS[6], 'ok')
