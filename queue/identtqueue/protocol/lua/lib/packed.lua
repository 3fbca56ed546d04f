-- include lib/now.lua
-- Packed tasks: an ordinary task, which is nothing but a call, waits, runs and succeeds as one text
-- in the HASH `packed_tasks`. Any other task has a HASH of its own, `task:<id>`. No task has both.
-- The text is one of these (times have 13 digits):
--   p<enqueued at>[ <waiters>]<newline><payload>                                   pending
--   r<enqueued at><started at><owner>[ <waiters>]<newline><payload>                running
--   s<enqueued at><started at><finished at><size of the result: 2 bytes><owner><newline><result>
--     <payload>                                                                    succeeded
--   t<as above><job>                            the same, if its arguments are not kept
-- The job's name is in the payload. A later format takes other letters. LIST `finished` has
-- `<finished at> <id>` of those that have ended, by which they are removed when their time is over.
local MOST_PACKED = 1024    -- bytes of a payload, and of a result. A look at a task reads both
local KEPT_MS = 3600000     -- how long a task is kept after its end

-- Returns the name under which a task stands in `packed_tasks`: its id without the queue.
local function short_id(id) return string.sub(id, (string.find(id, ':', 1, true) or 0) + 1) end

-- Returns the job's name in a payload, or false if it can't be read: see _Envelope in codec.py.
local function job_in(payload)
  local _, _, kind, length = string.byte(payload, 1, 4)
  if not length then return false end
  if kind == 217 then return string.sub(payload, 5, 4 + length) end  -- 32 to 255 bytes
  return kind > 160 and kind < 192 and string.sub(payload, 4, kind - 157)
end

-- Splits what follows the times and the owner. Returns the waiters, or false, and the payload.
local function split_tail(text, first)
  local cut = string.find(text, '\n', first, true)
  return cut > first and string.sub(text, first + 1, cut - 1), string.sub(text, cut + 1)
end

-- Returns the fields of a packed task, named as in a HASH; what it lacks is false.
local function fields_in(text)
  local kind, fields = string.sub(text, 1, 1), {enqueued_at = string.sub(text, 2, 14)}
  if kind == 'p' then
    fields.state, fields.waiters, fields.payload = 'pending', split_tail(text, 15)
    fields['function'] = job_in(fields.payload)
    return fields
  end
  fields.started_at, fields.attempt = string.sub(text, 15, 27), '1'
  if kind == 'r' then
    fields.state, fields.owner = 'running', string.match(text, '^[^ \n]+', 28)
    fields.waiters, fields.payload = split_tail(text, 28 + #fields.owner)
    fields['function'] = job_in(fields.payload)
    return fields
  end
  local high, low = string.byte(text, 41, 42)
  local cut = string.find(text, '\n', 43, true)
  local last = cut + 256 * high + low
  fields.state, fields.finished_at = 'succeeded', string.sub(text, 28, 40)
  fields.owner, fields.result = string.sub(text, 43, cut - 1), string.sub(text, cut + 1, last)
  local rest = string.sub(text, last + 1)
  if kind == 's' then fields['function'], fields.payload = job_in(rest), rest
  else fields['function'] = rest end
  return fields
end

-- Returns when a packed task is forgotten, in ms; false if it has not ended.
local function forgotten_at(text)
  local kind = string.byte(text)
  return (kind == 115 or kind == 116) and tonumber(string.sub(text, 28, 40)) + KEPT_MS  -- s, t
end

-- Returns the state of a packed task; false if its time is over.
local function state_in(text, now)
  local over = forgotten_at(text)
  if over then return over > tonumber(now) and 'succeeded' end
  return string.byte(text) == 112 and 'pending' or 'running'  -- p
end

-- Returns the text of a task, or false: it is not packed, or its time is over.
local function packed_text(at, id)
  local text = redis.call('HGET', at.packed_tasks, short_id(id))
  local over = text and forgotten_at(text)
  return not (over and over <= now_ms()) and text
end
