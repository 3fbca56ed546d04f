-- claim: pending -> running, up to N; due tasks are promoted first. -> cancelled instead: a task
-- that expired before it ever started, or that was cancelled while it ran and then came back
-- KEYS  1 pending  2 inflight:<worker>  3 workers  4 scheduled  5 stats  6 paused  7 draining
--       8 wake
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 limit  5 doorbell  6 error of an expired task
--       7 error of a cancelled one
-- Returns {"lost" | "draining" | "paused"}, or {"ok", ms until the next scheduled task or -1,
--         Redis time, number left pending, then per attempt: id, number, failures, losses,
--         enqueued at, ms waited, payload}
-- include lib/now.lua
-- include lib/promote.lua
-- include lib/end_task.lua
if not redis.call('ZSCORE', KEYS[3], ARGV[3]) then return {'lost'} end
if redis.call('SISMEMBER', KEYS[7], ARGV[3]) == 1 then return {'draining'} end
if redis.call('EXISTS', KEYS[6]) == 1 then return {'paused'} end

local now, limit = now_ms(), math.min(tonumber(ARGV[4]), 1000)  -- what `unpack` can take
local _, next_due = promote(KEYS[4], KEYS[1], KEYS[8], ARGV[1], ARGV[5], now, 1000)
local reply = {'ok', next_due, now, 0}
local claimed, waited = 0, 0

local function start(id)  -- false: it is not to run
  local key = ARGV[1] .. id
  local task = redis.call('HMGET', key, 'state', 'attempt', 'failures', 'losses', 'enqueued_at',
    'pending_since', 'payload', 'expires_at', 'ttl', 'cancel')
  if task[1] ~= 'pending' then return false end  -- its hash was removed by hand
  local expired = task[8] and not task[2] and tonumber(task[8]) <= now
  if expired or task[10] then
    local reason = expired and ARGV[6] or ARGV[7]
    end_task(key, id, 'cancelled', 'error', reason, now, task[9] or 3600000, ARGV[2])
    redis.call('HINCRBY', KEYS[5], 'cancelled', 1)
    return false
  end
  -- A hash written by hand may lack its times: an error here would lose what was popped.
  local number, enqueued = tonumber(task[2] or 0) + 1, task[5] or now
  local wait = now - tonumber(task[6] or enqueued)
  redis.call('HSET', key, 'state', 'running', 'attempt', number, 'owner', ARGV[3],
    'started_at', now)
  claimed, waited = claimed + 1, waited + wait
  for _, value in ipairs({id, number, task[3] or 0, task[4] or 0, enqueued, wait, task[7] or ''}) do
    reply[#reply + 1] = value
  end
  return true
end

for _ = 1, 100 do  -- more than one round only when tasks were cancelled
  local ids = limit > claimed and redis.call('LPOP', KEYS[1], limit - claimed) or {}
  if not ids or #ids == 0 then break end
  redis.call('RPUSH', KEYS[2], unpack(ids))
  for _, id in ipairs(ids) do
    if not start(id) then redis.call('LREM', KEYS[2], -1, id) end
  end
end
if claimed > 0 then
  redis.call('HINCRBY', KEYS[5], 'claimed', claimed)
  redis.call('HINCRBY', KEYS[5], 'wait_ms', waited)
end
-- Pass the baton: exactly one more worker wakes while tasks are left.
reply[4] = redis.call('LLEN', KEYS[1])
if reply[4] == 0 then redis.call('DEL', KEYS[8]) else ring(KEYS[1], KEYS[8], ARGV[5], reply[4]) end
return reply
