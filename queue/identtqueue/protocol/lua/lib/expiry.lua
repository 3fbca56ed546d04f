-- Returns whether a task has expired: it has an `expires_at`, and had not started by then. The
-- attempt number alone does not show that, since an id that is enqueued again keeps it.
local function has_expired(key, expires_at, attempt, now)
  if not expires_at or tonumber(expires_at) > now then return false end
  return not attempt or redis.call('HEXISTS', key, 'started_at') == 0
end
