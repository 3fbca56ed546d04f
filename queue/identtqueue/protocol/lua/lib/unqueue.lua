-- Takes a pending task out of the list it is in: `pending`, or that of the held tasks of its job.
local function unqueue(pending, blocked, held_prefix, id, job)
  local held = job and redis.call('ZSCORE', blocked, job) and held_prefix .. job
  if held and redis.call('LREM', held, 1, id) == 1 then
    if redis.call('EXISTS', held) == 0 then redis.call('ZREM', blocked, job) end
  else
    redis.call('LREM', pending, 1, id)
  end
end
