-- include lib/packed.lua
-- Removes packed tasks that ended long enough ago, looking at most at `most` entries of `finished`.
-- A task may have been unpacked since, or its id used for another.
local function forget_finished(packed_tasks, finished, now, most)
  local function time_in(entry) return tonumber(string.sub(entry, 1, 13)) + KEPT_MS end
  local head = redis.call('LINDEX', finished, '0')
  if not head or time_in(head) > now then return end
  local entries, shorts, old = redis.call('LRANGE', finished, 0, most - 1), {}, 0
  for i, entry in ipairs(entries) do
    if time_in(entry) > now then break end
    shorts[i], old = short_id(string.sub(entry, 15)), i
  end
  for i, text in ipairs(redis.call('HMGET', packed_tasks, unpack(shorts))) do
    if text and forgotten_at(text) == time_in(entries[i]) then
      redis.call('HDEL', packed_tasks, shorts[i])
    end
  end
  redis.call('LPOP', finished, old)
end
