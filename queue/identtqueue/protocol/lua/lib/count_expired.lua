-- Counts the pending tasks that have expired and still have to be ended. Returns the number in
-- `pending` and the number of held ones. Up to 200 are counted; if there are more, the numbers are
-- estimated from the first 200.
local function count_expired(expiring, task_prefix, now)
  local all, in_pending, in_held = redis.call('ZCOUNT', expiring, '-inf', now), 0, 0
  if all == 0 then return 0, 0 end
  local sample = redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, 200)
  for _, id in ipairs(sample) do
    local state, held = unpack(redis.call('HMGET', task_prefix .. id, 'state', 'held'))
    if state == 'pending' and held then in_held = in_held + 1
    elseif state == 'pending' then in_pending = in_pending + 1 end
  end
  return math.floor(all * in_pending / #sample), math.floor(all * in_held / #sample)
end
