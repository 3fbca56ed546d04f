-- progress: stores the progress of a running attempt, and publishes it to those who watch
-- KEYS  1 task:<id>
-- ARGV  1 worker  2 attempt  3 message: to store and publish: attempt, number, value  4 channel
-- Returns "ok" | "lost" | "missing"
-- include lib/owned.lua
local ack = owned(task, worker, attempt, 'running')
if ack ~= 'ok' then return ack end
-- Refused when Redis is full, on purpose: progress is expendable.
redis.call('HSET', task, 'progress', message)
redis.call('PUBLISH', channel, message)
return ack
