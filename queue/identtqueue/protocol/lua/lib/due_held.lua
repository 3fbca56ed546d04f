-- Returns the number of jobs with held tasks that may start now, plus `more`; and the ms until the
-- next job has one, or until `else_due`, whichever is sooner (-1: time alone lets none start).
local function due_held(blocked, now, else_due, more)
  local _, due = unpack(
    redis.call('ZRANGEBYSCORE', blocked, '(' .. now, '(+inf', 'WITHSCORES', 'LIMIT', 0, 1))
  local ms = due and tonumber(due) - now or else_due or -1
  if else_due and else_due >= 0 then ms = math.min(ms, else_due) end
  return redis.call('ZCOUNT', blocked, '-inf', now) + (more or 0), ms
end
