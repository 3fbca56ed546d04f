-- progress: stores the progress of a running attempt, and publishes it to those who watch
-- KEYS  1 task:<id>
-- ARGV  1 worker  2 attempt  3 message to store and publish: attempt, number, value  4 channel
-- Returns "ok" | "lost" | "missing"
-- include lib/owned.lua
local ack = owned(KEYS[1], ARGV[1], ARGV[2], 'running')
if ack ~= 'ok' then return ack end
-- Refused when Redis is full, on purpose: progress is expendable.
redis.call('HSET', KEYS[1], 'progress', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return ack
