-- Puts the ids from position `first` on back to the head of the list, in their old order. They were
-- popped for a claim whose reply is large enough now.
local function return_rest(list, inflight, ids, first)
  for i = #ids, first, -1 do
    redis.call('LREM', inflight, -1, ids[i])
    redis.call('LPUSH', list, ids[i])
  end
end
