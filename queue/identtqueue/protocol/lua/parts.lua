-- parts: lists the containers in which running or held tasks lie; writes nothing
-- KEYS  1 workers  2 blocked  3 shelves  4 suspects  5 tombstones
-- ARGV  1 inflight_prefix  2 held_prefix  3 place: "running" | "held"
-- Returns pairs: name of the container, number of its tasks
local found = {}
local function add(name, number)
  if number <= 0 then return end
  found[#found + 1] = name
  found[#found + 1] = number
end
if place == 'running' then
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    add('inflight:' .. worker, redis.call('LLEN', inflight_prefix .. worker))
  end
  return found
end
add('suspects', redis.call('LLEN', suspects))
for _, job in ipairs(redis.call('ZRANGE', blocked, 0, -1)) do
  local dead = tonumber(redis.call('HGET', tombstones .. ':' .. job, '') or 0)
  add('held:' .. job, redis.call('LLEN', held_prefix .. job) - dead)
end
for _, shelf in ipairs(redis.call('HKEYS', shelves)) do
  add('shelf:' .. shelf, tonumber(redis.call('HGET', shelves, shelf)))
end
return found
