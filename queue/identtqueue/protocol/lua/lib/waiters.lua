-- The waiters of a task: the channels of the clients that wait for its end, in one text.

-- Returns whether a channel must be added, or moved to the end of a long list.
local function must_add(waiters, channel)
  if channel == '' then return false end
  return #waiters >= 16384 or not string.find(waiters, channel, 1, true)
end

-- Adds a channel, or moves it to the end: the list is in the order of the last question. Over
-- 32 KiB, about 1,000 clients, the channels at the beginning are dropped. Clients that are gone
-- never ask again, while those that still wait ask once a minute.
local function with_waiter(waiters, channel)
  local first, last = string.find(waiters, channel, 1, true)
  if first then
    waiters = string.sub(waiters, 1, first - 1) .. string.sub(waiters, last + 2)
    if string.sub(waiters, -1) == ' ' then waiters = string.sub(waiters, 1, -2) end
  end
  waiters = waiters == '' and channel or waiters .. ' ' .. channel
  local cut = #waiters > 32768 and string.find(waiters, ' ', #waiters - 32768, true)
  return cut and string.sub(waiters, cut + 1) or waiters
end
