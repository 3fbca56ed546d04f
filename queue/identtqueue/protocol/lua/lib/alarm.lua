-- The alarm: one worker has promised to look at the queue when the next task becomes due, so that
-- the others can block. The STRING `alarm` is that time in ms. It does not say whose promise it is:
-- a promise that was not kept is over, and the next script that asks finds the queue unattended.

-- Returns whether nobody looks in time for something that is due in `ms` (-1: nothing will be).
local function is_unattended(alarm, now, ms)
  if ms < 0 then return false end
  local at = tonumber(redis.call('GET', alarm) or 0)
  return at <= now or at > now + math.ceil(ms)
end

-- Notes that the caller looks when something becomes due. Returns the ms until then; -1: the caller
-- need not look, because another worker does or nothing will be due.
local function attend(alarm, now, ms)
  if not is_unattended(alarm, now, ms) then return -1 end
  ms = math.ceil(ms)  -- not earlier, since then it would not be due
  redis.call('DEL', alarm)  -- first: it is allowed at maxmemory
  redis.call('SET', alarm, now + ms, 'PX', ms + 1)
  return ms
end
