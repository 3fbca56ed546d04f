-- include lib/container.lua
-- include lib/matches.lua
-- include lib/readers.lua
local PART = 50  -- entries whose texts are read with one command: few pages show more tasks

-- Returns the texts of the packed tasks among a part of the entries, by position in it.
local function texts_from(at, entries, first)
  local ids = {}
  for i = first, math.min(first + PART - 1, #entries) do ids[#ids + 1] = entries[i].id end
  return texts_of(at.packed_tasks, ids)
end

-- Looks at the entries of a container, from where the last call has ended, and calls `visit` with
-- a reader, the id and the time of each task that matches, until that returns false. `at` says what
-- is read: `base`, `part`, `newest` and `anchor`, the packed `filter`.
-- Returns the number of entries looked at, the number of all, position and anchor for the next
-- call, and 1 if there are more, else 0.
local function scan(at, position, tombstones, most_scanned, visit)
  at.key, at.kind = at.base .. at.part, string.match(at.part, '^[^:]+')
  at.filter = at.filter ~= '' and cmsgpack.unpack(at.filter) or {}
  local index, low, high, all = open_container(at, position, tombstones)
  local step, left = at.newest and -1 or 1, at.newest and index - low + 1 or high - index
  local entries = read_entries(at, index, math.max(0, math.min(left, most_scanned)))
  local seen, looked, texts = {}, 0, {}
  for i, entry in ipairs(entries) do
    local place, id = (i - 1) % PART + 1, entry.id
    if place == 1 and SOME_PACKED[at.kind] then texts = texts_from(at, entries, i) end
    local read = reader_of(at.task_prefix .. id, texts[place])
    if not seen[id] and matches(at, read, id, entry.time) then
      if not visit(read, id, entry.time) then break end
      seen[id] = true
    end
    looked = looked + 1
  end
  if looked == 0 then return 0, all, position, at.anchor, #entries > 0 and 1 or 0 end
  local last = entries[looked]
  return looked, all, last.score or tostring(index + step * looked), last.entry,
    left > looked and 1 or 0
end
