-- promote: scheduled -> pending, for tasks that are due
-- KEYS  1 scheduled  2 pending  3 wake
-- ARGV  1 task prefix  2 doorbell  3 limit
-- Returns {number moved, ms until the next is due or -1, Redis time in ms}
-- include lib/now.lua
-- include lib/promote.lua
local now = now_ms()
local moved, next_due = promote(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], now, tonumber(ARGV[3]))
return {moved, next_due, now}
