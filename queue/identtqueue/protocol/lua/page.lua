-- page: reads the tasks of one container that match a filter, a bounded number of entries at a
-- time; writes nothing
-- KEYS  1 tombstones  2 jobs  3 packed_tasks
-- ARGV  1 task_prefix  2 base: prefix of the queue's keys
--       3 part: the container's name, such as "pending", "held:<job>", "inflight:<worker>"
--       4 newest: whether to read from its end: 0|1  5 position: where the last page has ended, or
--         empty  6 anchor: the last entry that it has looked at  7 packed_filter: msgpack map, or
--         empty  8 most_scanned: entries to look at  9 most: tasks in the answer
-- Filter  job, id (its beginning), tag, error (type), text (in the arguments, unless the job hides
--         some), workers, pods, state; newer, older (ms of age)
-- Returns {entries looked at, number of entries, position, anchor, 1 if there are more, else 0,
--         Redis time}, then rows: see lib/row.lua
-- include lib/now.lua
-- include lib/scan.lua
-- include lib/row.lua
local now, rows = now_ms(), {}
local at = {base = base, part = part, now = now, newest = newest == '1', anchor = anchor,
  filter = packed_filter, task_prefix = task_prefix, packed_tasks = packed_tasks, jobs = jobs,
  hiding = {}}
local looked, all, stop, last, more = scan(at, position, tombstones, tonumber(most_scanned),
  function(read, id, time)
    if #rows >= tonumber(most) then return false end
    rows[#rows + 1] = row(at, read, id, time)
    return true
  end)
return {{looked, all, stop, last, more, now}, unpack(rows)}
