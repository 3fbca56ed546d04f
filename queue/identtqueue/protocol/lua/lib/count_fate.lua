-- include lib/counting.lua
-- Counts what became of a task without a report of its worker, in the numbers of this minute and
-- hour: kind 'r:' if it was taken back from a lost worker, 'd:' if it became a dead letter.
local function count_fate(minute_prefix, hour_prefix, kind, job, now)
  count_plain(minute_prefix .. math.floor(now / 60000), kind, job, 1, MINUTE_MS)
  count_plain(hour_prefix .. math.floor(now / 3600000), kind, job, 1, HOUR_MS)
end
