-- The audit list: what administrators did, the newest first. `note` is msgpack: who did what
-- (`act`, `what`), and a random `mark`. It is empty if nothing is to be recorded.
local function log_act(audit, note, matched, changed, now)
  if note == '' then return end
  local entry = cmsgpack.unpack(note)
  entry.at, entry.matched, entry.changed = now, matched, changed
  redis.call('LPUSH', audit, cmsgpack.pack(entry))
  redis.call('LTRIM', audit, 0, 999)
end
