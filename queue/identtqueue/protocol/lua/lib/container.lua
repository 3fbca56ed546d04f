-- include lib/fields_of.lua
-- A container of tasks: a list, or a sorted set. It is read from either end, part by part, while
-- others change it. `at` says what is read: `key`, `kind`, `newest` (from its end), the `anchor`.
local SORTED = {scheduled = true, dead = true}
local SOME_PACKED = {pending = true, inflight = true}
local FOLLOWS = {ended = true, inflight = true}  -- tasks come here after they were claimed

local MOST_CLAIMED = 100000  -- between two pages
local MOST_SOUGHT = 25000    -- entries at the head of a list

-- Returns the index of an entry near an index, or false: claims take entries from the head, so it
-- may lie nearer to the head than when the last page was read; an enqueue moves nothing.
local function find_near(at, index, entry)
  local first = math.max(0, index - 2500)
  for i, other in ipairs(redis.call('LRANGE', at.key, first, math.max(0, index + 500))) do
    if other == entry then return first + i - 1 end
  end
  return false
end

-- Returns the index at which a list goes on. If the anchor itself has left the list, entries may be
-- read again, but none is left out. A task that was claimed is not looked for: all before it were
-- claimed too, but for those that were put back at the head. One that is forgotten is looked for
-- nearby only: its entry is there if it was cancelled.
local function resume_list(at, index, length)
  local step = at.newest and 1 or -1  -- from the next entry to the anchor
  if redis.call('LINDEX', at.key, index + step) == at.anchor then return index end
  local state = FOLLOWS[at.kind] or unpack(fields_of(at, at.anchor, 'state'))
  local claimed = state == 'running' or state == 'succeeded'
  local found = not claimed and find_near(at, index, at.anchor)
  if found then return found - step end
  if at.newest then return math.min(index, length - 1) end
  if claimed then return 0 end
  found = state and redis.call('LPOS', at.key, at.anchor, 'MAXLEN', MOST_SOUGHT)
  return found and found + 1 or math.max(0, index - MOST_CLAIMED)
end

-- Returns the rank at which a sorted set goes on. If the anchor has left the set, or moved in it,
-- all entries of its old score are read again.
local function resume_set(at, score)
  local rank = redis.call('ZSCORE', at.key, at.anchor) == score
    and redis.call('ZRANK', at.key, at.anchor)
  if rank then return rank + (at.newest and -1 or 1) end
  if at.newest then return redis.call('ZCOUNT', at.key, '-inf', score) - 1 end
  return redis.call('ZCOUNT', at.key, '-inf', '(' .. score)
end

-- Returns the index of the first entry to read, the bounds (from the first to before the second),
-- and the number of entries without cancelled ones. A filter by age narrows a sorted set.
local function open_container(at, position, tombstones)
  local low, high, all, index = 0, nil, nil, nil
  if SORTED[at.kind] then
    all = redis.call('ZCARD', at.key)
    local newer, older = at.filter.newer, at.filter.older
    low = newer and redis.call('ZCOUNT', at.key, '-inf', '(' .. (at.now - newer)) or 0
    high = older and redis.call('ZCOUNT', at.key, '-inf', at.now - older) or all
    index = position ~= '' and resume_set(at, position)
  else
    high = redis.call('LLEN', at.key)
    local job = string.match(at.part, '^held:(.*)$')
    local dead = job and tombstones .. ':' .. job or at.part == 'pending' and tombstones
    all = math.max(0, high - (dead and tonumber(redis.call('HGET', dead, '') or 0) or 0))
    index = position ~= '' and resume_list(at, tonumber(position), high)
  end
  index = index or (at.newest and high - 1 or low)
  return at.newest and math.min(index, high - 1) or math.max(index, low), low, high, all
end

-- Reads entries, in the order of reading: the `entry` as it is stored, the `id` of its task, the
-- `time` that the container says, if it does, and the `score`.
local function read_entries(at, index, number)
  local found, sorted = {}, SORTED[at.kind]
  if number == 0 then return found end
  local first = at.newest and index - number + 1 or index
  local raw = sorted and redis.call('ZRANGE', at.key, first, first + number - 1, 'WITHSCORES')
    or redis.call('LRANGE', at.key, first, first + number - 1)
  for i = 1, #raw, sorted and 2 or 1 do
    local entry, id, time, score = raw[i], raw[i], nil, nil
    if sorted then score, time = raw[i + 1], tonumber(raw[i + 1])
    elseif at.kind == 'ended' then
      time, id = string.match(entry, '^(%d+) (.*)$')
      time, id = tonumber(time or 0), id or ''
    end
    found[#found + 1] = {entry = entry, id = id, time = time, score = score}
  end
  for i = 1, at.newest and math.floor(#found / 2) or 0 do
    found[i], found[#found + 1 - i] = found[#found + 1 - i], found[i]
  end
  return found
end
