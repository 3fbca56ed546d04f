-- receive: (none) / cancelled -> scheduled, for tasks that are moved here from another queue. They
-- are due only after `hold_ms`. The mover removes them there in the meantime, and then lets them
-- start: so a task is never in both queues and able to start in both
-- KEYS  1 scheduled  2 dead  3 stats  4 meta  5 expiring  6 audit  7 enqueued
--       8 packed_tasks  9 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 version: of the protocol  4 hold_ms
--       5 note: for the audit list, or empty  6 minute_prefix
--       7.. per task: id, then the fields of its hash, as in FIELDS below; empty: none.
--       `origin` says which task it was
-- Returns per task, in order: "ok" (also if it was received before) | "exists" (it is another one)
--         | "unique"; or {"protocol", the version found}
-- include lib/defaults.lua
-- include lib/now.lua
-- include lib/once.lua
-- include lib/make_room.lua
-- include lib/add_up.lua
-- include lib/packed.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
local known = first_answer(answer)
if known then return known end
local now, replies, new, by_job = now_ms(), {}, 0, {}
local FIELDS = {'origin', 'payload', 'function', 'enqueued_at', 'expires_at', 'ttl', 'unique',
  'unique_ttl', 'tags'}

local function receive(id, fields)
  local key = task_prefix .. id
  if redis.call('HEXISTS', packed_tasks, short_id(id)) == 1 then return 'exists' end
  local state, origin = unpack(redis.call('HMGET', key, 'state', 'origin'))
  local same = state and origin == fields.origin
  if same and state ~= 'cancelled' then return 'ok' end
  if state and not same then return 'exists' end
  if fields.unique and redis.call('EXISTS', unique_prefix .. fields.unique) == 1 then
    return 'unique'
  end
  if state then make_room(dead, id, key) end
  redis.call('HSET', key, 'state', 'scheduled')
  for field, value in pairs(fields) do redis.call('HSET', key, field, value) end
  redis.call('ZADD', scheduled, now + tonumber(hold_ms), id)
  if fields.expires_at then redis.call('ZADD', expiring, fields.expires_at, id) end
  if fields.unique then
    local ms = fields.unique_ttl or DEFAULT_UNIQUE_TTL
    redis.call('SET', unique_prefix .. fields.unique, id, 'PX', ms)
  end
  local job = fields['function']
  new, by_job[job] = new + 1, (by_job[job] or 0) + 1
  return 'ok'
end

for i = LIST_START, #ARGV, #FIELDS + 1 do
  local fields = {}
  for j, field in ipairs(FIELDS) do
    if ARGV[i + j] ~= '' then fields[field] = ARGV[i + j] end
  end
  replies[#replies + 1] = receive(ARGV[i], fields)
end
if new > 0 then
  -- include lib/count_enqueued.lua
  redis.call('HINCRBY', stats, 'enqueued', new)
  count_enqueued(minute_prefix, enqueued, by_job, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
end
add_up(audit, note, #replies, new, now)
if new > 0 or note ~= '' then remember(answer, replies) end
return replies
