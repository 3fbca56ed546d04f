-- include lib/packed.lua
-- include lib/packed_parts.lua
-- Returns the fields of a packed task, named as in a HASH; what it lacks is false.
local function fields_in(text)
  local fields, first = {state = 'pending'}, 1
  if string.byte(text) == R then
    fields.state, fields.attempt, fields.started_at = 'running', '1', string.sub(text, 2, 14)
    fields.owner = string.match(text, '^[^ ]+', 15)
    first = 16 + #fields.owner
  end
  fields.enqueued_at, fields.waiters, fields.payload = parts_of(text, first)
  fields['function'] = job_in(fields.payload)
  return fields
end

-- Returns the text of a task, or false: it is not packed.
local function packed_text(at, id) return redis.call('HGET', at.packed_tasks, short_id(id)) end
