-- include lib/expiry.lua
-- Starts a task that has a HASH of its own. Returns its payload, when it was enqueued, since when it
-- is pending if that differs, and unless this is its first attempt: {its number, failures, losses}.
-- Returns false if the task does not start, or not now. `by` names keys and says who starts it and
-- when; `at` is what a queue needs that has something special.
local function start_unpacked(by, at, so_far, list, ids, i, dead)
  local id, key, has, job, held, before = ids[i], by.task_prefix .. ids[i], so_far.special
  local state, attempt, enqueued_at, since, payload, expires_at = unpack(redis.call('HMGET', key,
    'state', 'attempt', 'enqueued_at', 'pending_since', 'payload', 'expires_at'))
  local here = state == 'pending'  -- else it was cancelled, or its hash was removed by hand
  if here and dead then
    -- include lib/lies_elsewhere.lua
    here = not lies_elsewhere(by, list, key, ids, i)
  end
  if not here then return false end
  if has then job, held = has.look_at(at, key, id) end
  local expired = expires_at and has_expired(key, expires_at, attempt, by.now)
  if expired or attempt and redis.call('HEXISTS', key, 'cancel') == 1 then
    -- include lib/end_cancelled.lua
    if expires_at then redis.call('ZREM', by.expiring, id) end
    local reason, ttl = expired and by.expired or by.cancelled, redis.call('HGET', key, 'ttl')
    end_cancelled(by, key, id, reason, by.now, ttl)
    return false
  end
  if has and not has.admit(at, key, id, job, by.now) then return false end
  if attempt then  -- it has started before
    -- include lib/begin_again.lua
    before = begin_again(id, key, attempt, by.now, so_far.news)
  end
  redis.call('HSET', key, 'state', 'running', 'attempt', before and before[1] or '1', 'owner',
    by.worker, 'started_at', by.time)
  if expires_at then redis.call('ZREM', by.expiring, id) end
  if held then redis.call('HDEL', key, 'held') end
  -- A hash that was written by hand may lack its times. An error here would lose the popped ids.
  return payload or '', enqueued_at or by.time, since, before or false
end
