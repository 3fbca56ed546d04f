-- Packed tasks: an ordinary task, which is nothing but a call, waits and runs as one text in the
-- HASH `packed_tasks`. Any other task has a HASH of its own, `task:<id>`, and so has one that has
-- ended. No task has both. What happens to a packed task is put before its text. Times have 13
-- digits.
--   p<enqueued at>[ <waiters>]<newline><payload>    it is pending
--   r<started at><owner> <the text before>          it runs, in its first attempt
-- The name of its job is in the payload. A later format takes other letters.
local MOST_PACKED = 1024  -- bytes of a payload, since whoever looks at a task reads it
local sub, byte, find = string.sub, string.byte, string.find  -- these run for each task
local P, R, NEWLINE, SPACE = byte('pr\n ', 1, 4)

-- Returns the name under which a task stands in `packed_tasks`: its id without the queue.
local function short_id(id) return sub(id, (find(id, ':', 1, true) or 0) + 1) end

-- Returns the job's name in a payload, or false if it can't be read: see _Envelope in codec.py.
local function job_in(payload)
  local _, _, kind, length = byte(payload, 1, 4)
  if not length then return false end
  if kind == 217 then return sub(payload, 5, 4 + length) end  -- 32 to 255 bytes
  return kind > 160 and kind < 192 and sub(payload, 4, kind - 157)
end

-- Returns the parts of the text of a pending task, which begins at `first`: when it was enqueued,
-- its waiters or false, and its payload.
local function parts_of(text, first)
  local enqueued_at = sub(text, first + 1, first + 13)
  if byte(text, first + 14) == NEWLINE then return enqueued_at, false, sub(text, first + 15) end
  local cut = find(text, '\n', first + 14, true)
  return enqueued_at, sub(text, first + 15, cut - 1), sub(text, cut + 1)
end

-- Returns the fields of a packed task, named as in a HASH; what it lacks is false.
local function fields_in(text)
  local fields, first = {state = 'pending'}, 1
  if byte(text) == R then
    fields.state, fields.attempt, fields.started_at = 'running', '1', sub(text, 2, 14)
    fields.owner = string.match(text, '^[^ ]+', 15)
    first = 16 + #fields.owner
  end
  fields.enqueued_at, fields.waiters, fields.payload = parts_of(text, first)
  fields['function'] = job_in(fields.payload)
  return fields
end

-- Returns the text of a task, or false: it is not packed.
local function packed_text(at, id) return redis.call('HGET', at.packed_tasks, short_id(id)) end
