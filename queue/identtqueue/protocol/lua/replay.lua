-- replay: failed -> pending, for many tasks; failures and losses start again at 0, attempts are
-- counted on. A task takes its unique key back. It stays a dead letter while another one holds that
-- key
-- KEYS  1 dead  2 pending  3 wake  4 stats  5 tombstones  6 audit
--       7 packed_tasks  8 answer:<call>
-- ARGV  1 task_prefix  2 doorbell  3 unique_prefix  4 note: for the audit list, or empty  5.. ids
-- Returns per task, in order: "ok" | "missing" | "not dead" | "unique"
-- include lib/defaults.lua
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/tombstones.lua
-- include lib/once.lua
-- include lib/add_up.lua
-- include lib/fields_of.lua
local known = first_answer(answer)
if known then return known end
local now, replies, changed = now_ms(), {}, 0
local at = {packed_tasks = packed_tasks, task_prefix = task_prefix}
local before = living(pending, tombstones, task_prefix)

local function replay(id)
  local key = task_prefix .. id
  local state, payload, unique, unique_ttl = unpack(
    fields_of(at, id, 'state', 'payload', 'unique', 'unique_ttl'))
  if not state then return 'missing' end
  if state ~= 'failed' or not payload then return 'not dead' end
  if unique then
    if redis.call('SETNX', unique_prefix .. unique, id) == 0 then return 'unique' end
    -- Older clients kept no time: a day.
    redis.call('PEXPIRE', unique_prefix .. unique, unique_ttl or DEFAULT_UNIQUE_TTL)
  end
  redis.call('ZREM', dead, id)
  redis.call('PERSIST', key)
  redis.call('HDEL', key, 'error', 'finished_at', 'failures', 'losses', 'cancel', 'expires_at',
    'suspect', 'declined', 'declined_since', 'declines', 'unstarted')
  redis.call('HSET', key, 'state', 'pending', 'pending_since', now)
  redis.call('RPUSH', pending, id)
  changed = changed + 1
  return 'ok'
end

for i = LIST_START, #ARGV do replies[#replies + 1] = replay(ARGV[i]) end
if changed > 0 then
  redis.call('HINCRBY', stats, 'replayed', changed)
  ring(pending, wake, doorbell, before)
end
add_up(audit, note, #replies, changed, now)
if changed > 0 or note ~= '' then remember(answer, replies) end
return replies
