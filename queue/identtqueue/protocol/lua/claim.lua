-- claim: pending -> running, up to N; due tasks are promoted first. -> cancelled instead: a task
-- that expired before it ever started, or that was cancelled while it ran and then came back. One
-- whose job is at a limit is held; once it may start, it comes before all that are not
-- KEYS  1 pending  2 inflight:<worker>  3 workers  4 scheduled  5 stats  6 paused  7 draining
--       8 wake  9 limits  10 blocked  11 rates
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 limit  5 doorbell  6 error of an expired task
--       7 error of a cancelled one  8 held prefix  9 running prefix
-- Returns {"lost" | "draining" | "paused"}, or {"ok", ms until the next scheduled or held task may
--         start or -1, Redis time, number left that may start (of held ones: one per job), news,
--         then per attempt: id, number, failures, losses, enqueued at, ms waited, payload}
-- News  pairs, seldom any: "fence <id>", its fencing token where that is not the Redis time
-- include lib/now.lua
-- include lib/promote.lua
-- include lib/end_task.lua
-- include lib/limits.lua
-- include lib/held.lua
-- include lib/due_held.lua
-- include lib/slots.lua
-- include lib/fence.lua
if not redis.call('ZSCORE', KEYS[3], ARGV[3]) then return {'lost'} end
if redis.call('SISMEMBER', KEYS[7], ARGV[3]) == 1 then return {'draining'} end
-- A queue that is neither paused nor limited, as most are, pays for no more than one look.
local special = redis.call('EXISTS', KEYS[6], KEYS[9], KEYS[10]) > 0
if special and redis.call('EXISTS', KEYS[6]) == 1 then return {'paused'} end

local now, most = now_ms(), math.min(tonumber(ARGV[4]), 1000)  -- what `unpack` can take
local _, next_due = promote(KEYS[4], KEYS[1], KEYS[8], ARGV[1], ARGV[5], now, 1000)
local news, claimed, waited, looked = {}, 0, 0, 0
local reply = {'ok', next_due, now, 0, news}
local fields = {'state', 'attempt', 'failures', 'losses', 'enqueued_at', 'pending_since', 'payload',
  'expires_at', 'ttl', 'cancel'}
local keys = special and {KEYS[9], KEYS[11], ARGV[9]}
if keys then fields[11], fields[12] = 'function', 'slot' end

local function start(id)  -- false: it is not to run, or not now
  local key = ARGV[1] .. id
  local task = redis.call('HMGET', key, unpack(fields))
  if task[1] ~= 'pending' then return false end  -- its hash was removed by hand
  if task[12] then vacate(ARGV[9], KEYS[10], KEYS[8], key, id, task[12]) end
  local expired = task[8] and not task[2] and tonumber(task[8]) <= now
  if expired or task[10] then
    local reason = expired and ARGV[6] or ARGV[7]
    end_task(key, id, 'cancelled', 'error', reason, now, task[9] or 3600000, ARGV[2])
    redis.call('HINCRBY', KEYS[5], 'cancelled', 1)
    return false
  end
  if keys and not admit(keys, KEYS[10], ARGV[8], key, id, task[11], now) then return false end
  -- A hash written by hand may lack its times: an error here would lose what was popped.
  local number, enqueued = tonumber(task[2] or 0) + 1, task[5] or now
  local wait = math.max(0, now - tonumber(task[6] or enqueued))  -- its clock may step back
  if task[2] then fence(id, key, now, news) end
  redis.call('HSET', key, 'state', 'running', 'attempt', number, 'owner', ARGV[3],
    'started_at', now)
  claimed, waited = claimed + 1, waited + wait
  for _, value in ipairs({id, number, task[3] or 0, task[4] or 0, enqueued, wait, task[7] or ''}) do
    reply[#reply + 1] = value
  end
  return true
end

local function take(list, number)  -- whether to go on: bounded, when few of them start
  local ids = number > 0 and looked < 500 and redis.call('LPOP', list, number) or {}
  if #ids > 0 then redis.call('RPUSH', KEYS[2], unpack(ids)) end
  for _, id in ipairs(ids) do
    if not start(id) then redis.call('LREM', KEYS[2], -1, id) end
  end
  looked = looked + #ids
  return #ids > 0
end

for _, job in ipairs(keys and redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', now) or {}) do
  local free, again
  repeat free, again = allowance(limit_of(keys, job, now), now)
  until not take(ARGV[8] .. job, math.min(free, most - claimed))
  note_held(KEYS[10], ARGV[8], job, again)
end
repeat until not take(KEYS[1], most - claimed)
if claimed > 0 then
  redis.call('HINCRBY', KEYS[5], 'claimed', claimed)
  redis.call('HINCRBY', KEYS[5], 'wait_ms', waited)
end
-- Pass the baton: exactly one more worker wakes while tasks are left that may start.
if keys then reply[4], reply[2] = due_held(KEYS[10], now, next_due) end
reply[4] = reply[4] + redis.call('LLEN', KEYS[1])
if reply[4] == 0 then redis.call('DEL', KEYS[8]) else ring(KEYS[1], KEYS[8], ARGV[5], reply[4]) end
return reply
