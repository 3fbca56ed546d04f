-- Counts the pending tasks that have expired and still have to be ended. Returns the number in
-- `pending` and the number of held ones. Up to 200 are counted; if there are more, the numbers are
-- estimated from the first 200.
local function count_expired(expiring, task_prefix, now)
  local all, pending, held = redis.call('ZCOUNT', expiring, '-inf', now), 0, 0
  if all == 0 then return 0, 0 end
  local sample = redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, 200)
  for _, id in ipairs(sample) do
    local task = redis.call('HMGET', task_prefix .. id, 'state', 'held')
    if task[1] == 'pending' and task[2] then held = held + 1
    elseif task[1] == 'pending' then pending = pending + 1 end
  end
  return math.floor(all * pending / #sample), math.floor(all * held / #sample)
end
