-- promote: scheduled -> pending, for tasks that are due; forgets dead letters that have expired
-- KEYS  1 scheduled  2 pending  3 wake  4 dead
-- ARGV  1 task prefix  2 doorbell  3 limit  4 how long dead letters are kept (ms)
-- Returns {number moved, ms until the next is due or -1, Redis time in ms}
-- include lib/now.lua
-- include lib/promote.lua
local now = now_ms()
local moved, next_due = promote(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], now, tonumber(ARGV[3]))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[4]))
return {moved, next_due, now}
