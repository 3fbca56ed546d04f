-- include lib/tombstones.lua
-- Removes the tombstones of dead ids that have left the list.
local function remove_tombstones(list, tombstones, ids)
  if redis.call('EXISTS', list) == 0 then return redis.call('UNLINK', tombstones) end
  if #ids == 0 then return end
  local single = {}
  for i, number in ipairs(redis.call('HMGET', tombstones, unpack(ids))) do
    if number == '1' or redis.call('HINCRBY', tombstones, ids[i], -1) <= 0 then
      single[#single + 1] = ids[i]
    end
  end
  if #single > 0 then redis.call('HDEL', tombstones, unpack(single)) end
  redis.call('HINCRBY', tombstones, '', -#ids)
end

-- Removes at most `most` dead ids from the head of the list. Returns how many.
local function sweep(list, tombstones, task_prefix, most)
  if redis.call('EXISTS', tombstones) == 0 then return 0 end
  local head = redis.call('LINDEX', list, 0)
  if head and redis.call('HEXISTS', tombstones, head) == 0 then return 0 end
  local ids, gone = redis.call('LRANGE', list, 0, most - 1), {}
  for i, dead in ipairs(find_dead(tombstones, ids)) do
    if not dead or redis.call('HGET', task_prefix .. ids[i], 'state') == 'pending' then break end
    gone[i] = ids[i]
  end
  if #gone > 0 then redis.call('LPOP', list, #gone) end
  remove_tombstones(list, tombstones, gone)
  return #gone
end
