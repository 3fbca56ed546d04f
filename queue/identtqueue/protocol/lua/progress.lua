-- progress: stores the progress of a running attempt, and publishes it to those who watch
-- KEYS  1 packed_tasks
-- ARGV  1 task_prefix  2 id  3 worker  4 attempt
--       5 message: to store and publish: attempt, number, value  6 channel
-- Returns "ok" | "lost" | "missing"
-- include lib/owned.lua
-- include lib/unpack_task.lua
-- include lib/packed.lua
local key, text = task_prefix .. id, redis.call('HGET', packed_tasks, short_id(id))
local ack
if text then ack = owned_packed(text, worker, attempt)
else ack = owned(key, worker, attempt, 'running') end
if ack ~= 'ok' then return ack end
-- Refused when Redis is full, on purpose: progress is expendable.
redis.call('HSET', key, 'progress', message)
if text then unpack_task({packed_tasks = packed_tasks, task_prefix = task_prefix}, id) end
redis.call('PUBLISH', channel, message)
return ack
