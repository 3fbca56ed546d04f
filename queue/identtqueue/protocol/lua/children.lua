-- children: notes which tasks a running task has enqueued, the first 100 and their number
-- KEYS  1 packed_tasks  2 answer:<call>
-- ARGV  1 task_prefix  2 parent: its id  3.. ids of the children
-- Returns 1, or 0 if the parent does not exist any more
-- include lib/once.lua
-- include lib/unpack_task.lua
local known = first_answer(answer)
if known then return known end
local task = unpack_task({packed_tasks = packed_tasks, task_prefix = task_prefix}, parent)
local noted, number = unpack(redis.call('HMGET', task, 'children', 'children_count'))
number = tonumber(number or 0)
if redis.call('EXISTS', task) == 0 then return 0 end
local ids = noted and {noted} or {}
for i = LIST_START, #ARGV do
  local all, this = '\n' .. table.concat(ids, '\n') .. '\n', '\n' .. ARGV[i] .. '\n'
  if not string.find(all, this, 1, true) then  -- each attempt may enqueue it anew
    number = number + 1
    if number <= 100 then ids[#ids + 1] = ARGV[i] end
  end
end
redis.call('HDEL', task, 'children')  -- first: it is allowed at maxmemory
redis.call('HSET', task, 'children', table.concat(ids, '\n'), 'children_count', number)
return remember(answer, 1)
