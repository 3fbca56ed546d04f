-- include lib/packed.lua
-- For scripts that look at many tasks, some of which are packed.

-- Returns the texts of the tasks that are packed, by position, with one command. Others are false.
local function texts_of(packed_tasks, ids)
  local names = {}
  for i, id in ipairs(ids) do names[i] = short_id(id) end
  return #names > 0 and redis.call('HMGET', packed_tasks, unpack(names)) or names
end

-- Returns a function that reads fields of a task: from its `text`, or without one from its HASH.
local function reader_of(key, text)
  if not text then return function(...) return unpack(redis.call('HMGET', key, ...)) end end
  local fields
  return function(...)
    fields = fields or fields_in(text)
    if select('#', ...) == 1 then return fields[...] or false end
    local found = {...}
    for i = 1, #found do found[i] = fields[found[i]] or false end
    return unpack(found)
  end
end
