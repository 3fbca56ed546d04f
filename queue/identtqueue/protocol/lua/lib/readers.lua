-- include lib/packed.lua
-- include lib/packed_fields.lua
-- include lib/job_of.lua
-- For scripts that look at many tasks, some of which are packed.

-- Returns the texts of the tasks that are packed, by position, with one command. Others are false.
local function texts_of(packed_tasks, ids)
  local names = {}
  for i, id in ipairs(ids) do names[i] = short_id(id) end
  return #names > 0 and redis.call('HMGET', packed_tasks, unpack(names)) or names
end

local NEVER_PACKED = {tags = true, error = true}  -- a task that has one of these has a HASH

-- Returns a function that reads fields of a task: from its `text`, or without one from its HASH.
local function reader_of(key, text)
  if not text then return function(...) return unpack(redis.call('HMGET', key, ...)) end end
  local fields
  return function(...)
    local found = {...}
    if #found == 1 and ... == 'function' then return job_of(text) end
    if #found == 1 and NEVER_PACKED[...] then return false end
    fields = fields or fields_in(text)
    for i = 1, #found do found[i] = fields[found[i]] or false end
    return unpack(found)
  end
end
