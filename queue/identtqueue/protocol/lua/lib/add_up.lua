-- include lib/log_act.lua
-- Records a step of an act that takes several calls: they share an entry of the audit list, whose
-- numbers grow. It is looked for by the `mark` of the note, from the newest entry on.
local function add_up(audit, note, matched, changed, now)
  if note == '' then return end
  local mark = cmsgpack.unpack(note).mark
  for first = 0, 950, 50 do
    local items = redis.call('LRANGE', audit, first, first + 49)
    for i, item in ipairs(items) do
      local entry = string.find(item, mark, 1, true) and cmsgpack.unpack(item)
      if entry and entry.mark == mark then
        entry.matched, entry.changed = entry.matched + matched, entry.changed + changed
        return redis.call('LSET', audit, first + i - 1, cmsgpack.pack(entry))
      end
    end
    if #items < 50 then break end
  end
  log_act(audit, note, matched, changed, now)
end
