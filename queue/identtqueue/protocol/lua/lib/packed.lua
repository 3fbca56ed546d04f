-- include lib/now.lua
-- Packed tasks: an ordinary task, which is nothing but a call, waits, runs and succeeds as one text
-- in the HASH `packed_tasks`. Any other task has a HASH of its own, `task:<id>`. No task has both.
-- What happens to it is put before the text. Times have 13 digits.
--   p<enqueued at>[ <waiters>]<newline><payload>              it is pending
--   r<started at><owner> <the text before>                    it runs
--   s<finished at><size: 2 bytes><result><the text before>    it has succeeded
--   t<finished at><size: 2 bytes><result><the text before>    the same, but its payload is only the
--                                                             job's name: arguments are not kept
-- A later format takes other letters. The LIST `finished` has `<finished at> <id>` of those that
-- have ended; they are removed by it when their time is over.
local MOST_PACKED = 1024  -- bytes of a payload, and of a result: a look at a task reads both
local KEPT_MS = 3600000   -- how long a task is kept after its end
local sub, byte, find = string.sub, string.byte, string.find  -- read once, since used for each task
local P, R, S, T, NEWLINE, SPACE = byte('prst\n ', 1, 6)

-- Returns the name under which a task stands in `packed_tasks`: its id without the queue.
local function short_id(id) return sub(id, (find(id, ':', 1, true) or 0) + 1) end

-- Returns the job's name in a payload, or false if it can't be read: see _Envelope in codec.py.
local function job_in(payload)
  local _, _, kind, length = byte(payload, 1, 4)
  if not length then return false end
  if kind == 217 then return sub(payload, 5, 4 + length) end  -- 32 to 255 bytes
  return kind > 160 and kind < 192 and sub(payload, 4, kind - 157)
end

-- Returns the waiters in the text of a pending task, which begins at `first`, or false; and where
-- its payload begins.
local function waiters_in(text, first)
  if byte(text, first + 14) == NEWLINE then return false, first + 15 end
  local cut = find(text, '\n', first + 14, true)
  return sub(text, first + 15, cut - 1), cut + 1
end

-- Returns the fields of a packed task, named as in a HASH; what it lacks is false.
local function fields_in(text)
  local kind, first, fields = byte(text), 1, {state = 'pending'}
  local kept = kind ~= T
  if kind == S or kind == T then
    local high, low = byte(text, 15, 16)
    first = 17 + 256 * high + low
    fields.state, fields.finished_at = 'succeeded', sub(text, 2, 14)
    fields.result = sub(text, 17, first - 1)
  elseif kind == R then fields.state = 'running' end
  if byte(text, first) == R then
    fields.attempt, fields.started_at = '1', sub(text, first + 1, first + 13)
    fields.owner = string.match(text, '^[^ ]+', first + 14)
    first = first + 15 + #fields.owner
  end
  local waiters, start = waiters_in(text, first)
  local payload = sub(text, start)
  fields.enqueued_at, fields.waiters = sub(text, first + 1, first + 13), waiters
  fields.payload, fields['function'] = kept and payload, kept and job_in(payload) or payload
  return fields
end

-- Returns when a packed task is forgotten, in ms; false if it has not ended.
local function forgotten_at(text)
  local kind = byte(text)
  return (kind == S or kind == T) and tonumber(sub(text, 2, 14)) + KEPT_MS
end

-- Returns the state of a packed task; false if its time is over.
local function state_in(text, now)
  local over = forgotten_at(text)
  if over then return over > tonumber(now) and 'succeeded' end
  return byte(text) == R and 'running' or 'pending'
end

-- Returns the text of a task, or false: it is not packed, or its time is over.
local function packed_text(at, id)
  local text = redis.call('HGET', at.packed_tasks, short_id(id))
  local over = text and forgotten_at(text)
  return not (over and over <= now_ms()) and text
end
