-- Ends a task: sets its state, times and expiry, frees its unique key and notifies the clients that
-- wait for it. Its payload is deleted, unless it can be replayed. `field` is 'result' or 'error'.
-- An answer over 64 KiB is only announced, and the client then reads the hash, because a
-- subscriber's output buffer is bounded. A smaller one is only announced if hundreds of clients
-- wait, so that at most 2 MB are copied (a channel's name has about 30 bytes). `more` is {waiters,
-- unique}, if the caller has read them already.
local function end_task(task_key, id, state, field, data, now, ttl, unique_prefix, more)
  more = more or redis.call('HMGET', task_key, 'waiters', 'unique')
  if state ~= 'failed' then redis.call('HDEL', task_key, 'payload') end
  redis.call('HSET', task_key, 'state', state, 'finished_at', now, field, data)
  redis.call('PEXPIRE', task_key, ttl)
  if more[2] and redis.call('GET', unique_prefix .. more[2]) == id then
    redis.call('DEL', unique_prefix .. more[2])
  end
  if more[1] then
    redis.call('HDEL', task_key, 'waiters')
    local answer = id .. '\n' .. state .. '\n'
    if #data <= 65536 and #data * #more[1] / 30 <= 2e6 then answer = answer .. '=' .. data end
    for channel in string.gmatch(more[1], '%S+') do redis.call('PUBLISH', channel, answer) end
  end
end
