-- include lib/counting.lua
-- Adds the enqueued tasks of past minutes to their hours: those of 60 minutes at most, and of about
-- 1,000 jobs. `rolled` is the last minute that was added, `minute` the one that goes on.
local function roll_up(meta, minute_prefix, hour_prefix, rolled, minute)
  local seen, last = 0, math.min(rolled + 60, minute - 1)
  while rolled < last and seen < 1000 do
    rolled = rolled + 1
    local hash, hour = minute_prefix .. rolled, hour_prefix .. math.floor(rolled / 60)
    local fields = redis.call('HKEYS', hash)
    for _, field in ipairs(fields) do
      if string.sub(field, 1, 2) == 'e:' then
        local number = redis.call('HGET', hash, field)
        count_plain(hour, 'e:', string.sub(field, 3), number, HOUR_MS)
      end
    end
    seen = seen + #fields
  end
  redis.call('HSET', meta, 'rolled', rolled)
end
