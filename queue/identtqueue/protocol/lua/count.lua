-- count: adds what a worker has counted since its last report to the numbers of the minute and the
-- hour. The tasks enqueued in past minutes are added to their hours, once a minute
-- KEYS  1 workers  2 counted  3 meta
-- ARGV  1 worker  2 report: its number  3 minute_prefix  4 hour_prefix
--       5.. pairs: job, its counts (msgpack)
-- Returns "ok" | "done" (a repeat) | "lost" (the worker has no lease; nothing was added)
-- include lib/now.lua
-- include lib/count_work.lua
-- include lib/counting.lua
if not redis.call('ZSCORE', workers, worker) then return 'lost' end
if redis.call('HGET', counted, worker) == report then return 'done' end
local now = now_ms()
local minute = math.floor(now / 60000)
redis.call('HSET', counted, worker, report)
for i = LIST_START, #ARGV, 2 do
  local job, counts = ARGV[i], ARGV[i + 1]
  count_work(minute_prefix .. minute, job, counts, MINUTE_MS)
  count_work(hour_prefix .. math.floor(minute / 60), job, counts, HOUR_MS)
end
local rolled = math.max(tonumber(redis.call('HGET', meta, 'rolled') or 0), minute - 1441)
if rolled < minute - 1 then
  -- include lib/roll_up.lua
  roll_up(meta, minute_prefix, hour_prefix, rolled, minute)
end
return 'ok'
