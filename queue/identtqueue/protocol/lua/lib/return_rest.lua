-- Puts back what was popped for a claim that has got enough, from the `first` on, as it was.
local function return_rest(list, inflight, ids, first)
  for i = #ids, first, -1 do
    redis.call('LREM', inflight, -1, ids[i])
    redis.call('LPUSH', list, ids[i])
  end
end
