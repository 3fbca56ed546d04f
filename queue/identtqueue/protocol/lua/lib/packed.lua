-- Packed tasks: an ordinary task, which is nothing but a call, waits and runs as one text in the
-- HASH `packed_tasks`. Any other task has a HASH of its own, `task:<id>`, and so has one that has
-- ended. No task has both. What happens to a packed task is put before its text. Times have 13
-- digits.
--   p<enqueued at>[ <waiters>]<newline><payload>    it is pending
--   r<started at><owner> <the text before>          it runs, in its first attempt
-- The name of its job is in the payload. A later format takes other letters.
local MOST_PACKED = 1024  -- bytes of a payload, since each look at a task reads it whole
local P, R, SPACE = 112, 114, 32  -- what string.byte returns for p, r and a space

-- Returns the name under which a task stands in `packed_tasks`: its id without the queue.
local function short_start(id) return (string.find(id, ':', 1, true) or 0) + 1 end
local function short_id(id) return string.sub(id, short_start(id)) end

-- Returns the bytes by which a payload names its job, from its third byte on; or false if `job_in`
-- would not find them.
local function job_word(name)
  if #name > 255 or name == '' then return false end
  return (#name < 32 and string.char(160 + #name) or '\217' .. string.char(#name)) .. name
end

-- Returns the job's name in a payload, or false if it can't be read: see _Envelope in codec.py. The
-- payload stands in `text` after so many bytes; nil: it is the text.
local function job_in(text, after)
  local from = after or 0
  local _, _, kind, length = string.byte(text, from + 1, from + 4)
  if not length then return false end
  if kind == 217 then return string.sub(text, from + 5, from + 4 + length) end  -- 32 to 255 bytes
  return kind > 160 and kind < 192 and string.sub(text, from + 4, from + kind - 157)
end
