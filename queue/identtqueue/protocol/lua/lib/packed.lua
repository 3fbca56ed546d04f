-- Packed tasks: an ordinary task, which is nothing but a call that waits or runs for the first
-- time, stands as one text in the HASH `packed_tasks` until it ends. Any other task has a HASH of
-- its own, `task:<id>`. No task has both. The text is
--   1<enqueued at>[ <started at> <owner>[ <waiters>]]<newline><payload>
-- Its first character is the version of this format. What a task lacks before its waiters is empty.
-- It runs if it has a start. The name of its job is in the payload.

-- Returns the name under which a task stands in `packed_tasks`: its id without the queue.
local function short_id(id) return string.sub(id, string.find(id, ':', 1, true) + 1) end

-- Returns the job's name in a payload, or false if it can't be read: see _Envelope in codec.py.
local function job_in(payload)
  local _, _, kind, length = string.byte(payload, 1, 4)
  if not length then return false end
  if kind == 217 then return string.sub(payload, 5, 4 + length) end  -- 32 to 255 bytes
  return kind > 160 and kind < 192 and string.sub(payload, 4, kind - 157)
end

-- Returns the fields of a packed task, named as in a HASH.
local function fields_in(text)
  local enqueued_at, started_at, owner, waiters, payload = string.match(text,
    '^1(%d+) ?(%d*) ?(%S*) ?([^\n]*)\n(.*)$')
  local fields = {state = 'pending', payload = payload, ['function'] = job_in(payload),
    enqueued_at = enqueued_at}
  if waiters ~= '' then fields.waiters = waiters end
  if started_at ~= '' then
    fields.state, fields.attempt, fields.owner, fields.started_at =
      'running', '1', owner, started_at
  end
  return fields
end
