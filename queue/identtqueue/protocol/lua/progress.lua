-- progress: stores how far a running attempt is, and tells those who watch
-- KEYS  1 task:<id>
-- ARGV  1 worker  2 attempt  3 what is stored and told: attempt, number, value  4 channel
-- Returns "ok" | "lost" | "missing"
-- include lib/owned.lua
local ack = owned(KEYS[1], ARGV[1], ARGV[2], 'running')
if ack ~= 'ok' then return ack end
-- Not allowed at maxmemory, and meant so: who is full has better things to keep.
redis.call('HSET', KEYS[1], 'progress', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return ack
