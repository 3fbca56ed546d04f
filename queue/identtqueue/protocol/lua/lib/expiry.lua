-- Whether a task may not start any more: it has an `expires_at`, and has not started by then. The
-- number of attempts does not tell: an id that was enqueued again keeps it.
local function has_expired(key, expires_at, attempt, now)
  if not expires_at or tonumber(expires_at) > now then return false end
  return not attempt or redis.call('HEXISTS', key, 'started_at') == 0
end
