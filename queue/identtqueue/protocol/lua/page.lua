-- page: reads the tasks of one container that match a filter, a bounded number of entries at a
-- time; writes nothing
-- KEYS  1 tombstones
-- ARGV  1 task_prefix  2 base: prefix of the queue's keys
--       3 part: the container's name, such as "pending", "held:<job>", "inflight:<worker>"
--       4 newest: whether to read from its end: 0|1  5 position: where the last page has ended, or
--         empty  6 anchor: the last entry that it has looked at  7 most: tasks in the answer
--       8 most_scanned: entries to look at  9 packed_filter: msgpack map, or empty
-- Filter  job, id (its beginning), tag, error (type), text (in the arguments), hidden (jobs in
--         whose arguments text is not looked for), workers, pods, state; newer, older (ms of age)
-- Returns {entries looked at, number of entries, position, anchor, 1 if there are more, else 0,
--         Redis time}, then rows: see lib/row.lua
-- include lib/now.lua
-- include lib/container.lua
-- include lib/matches.lua
-- include lib/row.lua
local now = now_ms()
local filter = packed_filter ~= '' and cmsgpack.unpack(packed_filter) or {}
local at = {key = base .. part, part = part, kind = string.match(part, '^[^:]+'), now = now,
  newest = newest == '1', anchor = anchor, filter = filter, task_prefix = task_prefix}
local index, low, high, all = open_container(at, position, tombstones)
local step, left = at.newest and -1 or 1, at.newest and index - low + 1 or high - index
local entries = read_entries(at, index, math.max(0, math.min(left, tonumber(most_scanned))))
local head, rows, seen, looked = {0, all, '', '', 0, now}, {}, {}, 0
for _, entry in ipairs(entries) do
  if #rows >= tonumber(most) then break end
  looked = looked + 1
  local id, key = entry.id, task_prefix .. entry.id
  if not seen[id] and matches(at, key, id, entry.time) then
    rows[#rows + 1] = row(at, key, id, entry.time)
    seen[id] = true
  end
end
if looked > 0 then
  local last = entries[looked]
  head[3], head[4] = last.score or tostring(index + step * looked), last.entry
  head[1], head[5] = looked, left > looked and 1 or 0
end
return {head, unpack(rows)}
