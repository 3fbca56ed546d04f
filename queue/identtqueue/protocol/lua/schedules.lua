-- schedules: lists the cron entries of a queue, by name; writes nothing
-- KEYS  1 cron  2 scheduled
-- ARGV  1 kept_ms: how long an entry is listed that no worker declares any more
-- Returns per entry: name, job, expression, time zone, paused 0|1, when a worker last declared it,
--         when it fires next or -1, when it has fired last or -1
-- include lib/now.lua
local now, names, reply = now_ms(), redis.call('HKEYS', cron), {}
table.sort(names)
for _, name in ipairs(names) do
  local is_entry = not string.find(name, ':', 1, true)
  local entry = is_entry and cmsgpack.unpack(redis.call('HGET', cron, name))
  if entry and entry.seen + tonumber(kept_ms) > now then
    local next_due = -1
    for id in pairs(entry.firings) do
      local due = tonumber(redis.call('ZSCORE', scheduled, id) or -1)
      if due >= 0 and (next_due < 0 or due < next_due) then next_due = due end
    end
    local last = redis.call('HGET', cron, 'last:' .. name)
    for _, value in ipairs({name, entry.job or '', entry.expression or '', entry.timezone or '',
      entry.paused and 1 or 0, entry.seen, next_due, tonumber(last or -1)}) do
      reply[#reply + 1] = value
    end
  end
end
return reply
