-- tally: counts the tasks of one container that match a filter, by job and type of failure, a
-- bounded number of entries at a time; writes nothing
-- KEYS  1 tombstones  2 jobs  3 packed_tasks
-- ARGV  1 task_prefix  2 base: prefix of the queue's keys  3 part: see page
--       4 newest: see page  5 position: see page  6 anchor: see page  7 packed_filter: see page
--       8 most_scanned: entries to look at
-- Returns as page, but rows of: job, type of failure or empty, number of tasks, id and time of the
--         newest, time of the oldest, first line of the failure of the newest
-- include lib/now.lua
-- include lib/scan.lua
-- include lib/matches.lua
-- include lib/failure.lua
local now, rows, by_kind = now_ms(), {}, {}
local at = {base = base, part = part, now = now, newest = newest == '1', anchor = anchor,
  filter = packed_filter, task_prefix = task_prefix, packed_tasks = packed_tasks, jobs = jobs,
  hiding = {}}
local looked, all, stop, last, more = scan(at, position, tombstones, tonumber(most_scanned),
  function(read, id, time)
    local job, packed = read('function', 'error')
    local since, kind, line = since_when(at, read, time), '', ''
    if packed then kind, line = failure_of(packed) end
    local name = kind .. '\n' .. (job or '')
    local group = by_kind[name]
    if not group then
      group = {job or '', kind, 0, id, since, since, line}
      by_kind[name], rows[#rows + 1] = group, group
    end
    group[3], group[6] = group[3] + 1, math.min(group[6], since)
    if since > group[5] then group[4], group[5], group[7] = id, since, line end
    return true
  end)
return {{looked, all, stop, last, more, now}, unpack(rows)}
