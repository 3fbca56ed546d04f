-- A call whose reply was lost is sent again, with the same answer key. The second time it does
-- nothing and gets its first answer. That is kept for two minutes, longer than clients retry.
local function remember(key, answer)
  redis.call('SET', key, cmsgpack.pack(answer), 'PX', 120000)
  return answer
end

local function first_answer(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed)
end
