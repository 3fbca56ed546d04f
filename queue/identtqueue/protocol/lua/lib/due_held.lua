-- How many jobs have held tasks that may start now (`more` is added); and the ms until the next one
-- has, or until something else is due, whichever is sooner (-1: never by the mere passing of time).
local function due_held(blocked, now, else_due, more)
  local next = redis.call('ZRANGEBYSCORE', blocked, '(' .. now, '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local ms = next[2] and tonumber(next[2]) - now or else_due or -1
  if else_due and else_due >= 0 then ms = math.min(ms, else_due) end
  return redis.call('ZCOUNT', blocked, '-inf', now) + (more or 0), ms
end
