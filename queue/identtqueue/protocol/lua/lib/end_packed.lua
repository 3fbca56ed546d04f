-- include lib/packed.lua
-- include lib/packed_parts.lua
-- include lib/end_task.lua
-- include lib/defaults.lua
-- The ordinary end: a packed task has succeeded. Its HASH is made at once as `end_task` leaves that of
-- another task. The caller has taken its text out of `packed_tasks`.
local function end_packed(key, id, result, now, worker, task, text, kept)
  local enqueued_at, waiters, payload = parts_of(text, task.first)
  local field, value = 'state', 'succeeded'
  if kept then field, value = 'payload', payload end
  redis.call('HSET', key, field, value, 'state', 'succeeded', 'function', job_in(payload),
    'enqueued_at', enqueued_at, 'attempt', '1', 'owner', worker, 'started_at', task.started_at,
    'finished_at', now, 'result', result)
  redis.call('PEXPIRE', key, DEFAULT_TTL)
  if waiters then notify(waiters, id, 'succeeded', result) end
end
