-- record: reads all that is kept of a task; writes nothing
-- KEYS  1 task:<id>  2 info  3 scheduled  4 jobs  5 packed_tasks
-- ARGV  1 id  2 most_bytes: of the payload and of the result; larger ones are left out
--       3.. names of fields
-- Returns {} if there is no such task, or {Redis time, ms until it is forgotten or -1, when it is
--         due or nil, what its last worker wrote about itself or nil, what is declared about its
--         job or nil, size of the payload, size of the result}, then the payload, the result and
--         the fields, or nil for what it lacks
-- include lib/now.lua
-- include lib/readers.lua
local text = unpack(texts_of(packed_tasks, {id}))
local read = reader_of(task, text)
if not text and redis.call('EXISTS', task) == 0 then return {} end
local function bounded(name)
  local size = text and #(read(name) or '') or redis.call('HSTRLEN', task, name)
  if size > tonumber(most_bytes) then return false, size end
  return read(name), size
end
local payload, payload_size = bounded('payload')
local result, result_size = bounded('result')
local owner, job = read('owner', 'function')
local about = owner and redis.call('HGET', info, owner)
local declared = redis.call('HGET', jobs, job or '')
local due, ttl = redis.call('ZSCORE', scheduled, id), redis.call('PTTL', task)
local reply = {{now_ms(), ttl, due, about, declared, payload_size, result_size}, payload, result}
for _, value in ipairs({read(unpack(ARGV, LIST_START))}) do reply[#reply + 1] = value end
return reply
