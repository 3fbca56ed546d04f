-- Notifies the clients that wait for a task of its end. An answer over 64 KiB is only announced, and
-- the client then reads the hash, because a subscriber's output buffer is bounded. A smaller one is
-- only announced if hundreds of clients wait, so that at most 2 MB are copied (a channel's name has
-- about 30 bytes).
local function notify(waiters, id, state, data)
  local answer = id .. '\n' .. state .. '\n'
  if #data <= 65536 and #data * #waiters / 30 <= 2e6 then answer = answer .. '=' .. data end
  for channel in string.gmatch(waiters, '%S+') do redis.call('PUBLISH', channel, answer) end
end

-- Ends a task: sets its state, times and expiry, frees its unique key and notifies the clients that
-- wait for it. Its payload is deleted, unless it is `kept`, or the task can be replayed. `field` is
-- 'result' or 'error'. `task` has `waiters` and `unique`, if the caller has read them already.
local function end_task(key, id, state, field, data, now, ttl, unique_prefix, task, kept)
  local waiters, unique
  if task then waiters, unique = task.waiters, task.unique
  else waiters, unique = unpack(redis.call('HMGET', key, 'waiters', 'unique')) end
  if state ~= 'failed' and not kept then redis.call('HDEL', key, 'payload') end
  redis.call('HSET', key, 'state', state, 'finished_at', now, field, data)
  redis.call('PEXPIRE', key, ttl)
  if unique and redis.call('GET', unique_prefix .. unique) == id then
    redis.call('DEL', unique_prefix .. unique)
  end
  if waiters then
    redis.call('HDEL', key, 'waiters')
    notify(waiters, id, state, data)
  end
end
