-- include lib/counting.lua
-- Adds what a worker has counted for a job: a list of numbers, and the failures by type of error,
-- of which 20 are told apart.
local function add_work(sum, packed)
  local numbers, errors = unpack(sum)
  local new_numbers, new_errors = unpack(cmsgpack.unpack(packed))
  for i, number in ipairs(new_numbers) do numbers[i] = (numbers[i] or 0) + number end
  local kinds = 0
  for _ in pairs(errors) do kinds = kinds + 1 end
  for kind, number in pairs(new_errors) do
    if not errors[kind] then
      if kinds >= 20 then kind = '(other)' end
      kinds = kinds + 1
    end
    errors[kind] = (errors[kind] or 0) + number
  end
  return sum
end

local function count_work(hash, job, packed, ttl_ms)
  local field, exists = field_of(hash, 'w:', job)
  if exists then
    local sum = cmsgpack.unpack(redis.call('HGET', hash, field))
    packed = cmsgpack.pack(add_work(sum, packed))
  end
  redis.call('HSET', hash, field, packed)
  if not exists then redis.call('PEXPIRE', hash, ttl_ms) end
end
