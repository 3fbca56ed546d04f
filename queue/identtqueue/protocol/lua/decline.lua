-- decline: running -> pending, by a worker that cannot run the task, because it has no such job or
-- its job takes other arguments. This counts neither as a failure nor as a loss. The task goes to a
-- shelf, for workers that have not declined it yet. -> cancelled, if that was asked for meanwhile
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 shelves  6 expiring
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 id  5 attempt  6 signature that declines it
--       7 encoded failure  8 the same for people, in one line  9 running prefix  10 shelf prefix
--       11 encoded reason of a cancelled task
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
local id, key = ARGV[4], ARGV[1] .. ARGV[4]
local ack, task = owned(key, ARGV[3], ARGV[5], 'pending', true)
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', KEYS[1], 1, id)
if task[8] then vacate(ARGV[9], KEYS[3], KEYS[4], key, id, task[8]) end
local more = redis.call('HMGET', key, 'function', 'cancel', 'declined', 'declined_since',
  'declines', 'unstarted', 'fence', 'expires_at')
if more[2] then
  end_cancelled(key, id, ARGV[11], now, task[5], ARGV[2], KEYS[2])
  return ack
end
local signatures, known = {ARGV[6]}, false
for signature in string.gmatch(more[3] or '', '[^,]+') do
  if signature == ARGV[6] then known = true else signatures[#signatures + 1] = signature end
end
table.sort(signatures)
local declined = table.concat(signatures, ',')
local shelf, lines = declined .. ':' .. (more[1] or ''), more[5] or ''
if not known and #lines < 4096 then lines = lines .. '\n' .. ARGV[8] end
redis.call('RPUSH', ARGV[10] .. shelf, id)
redis.call('HINCRBY', KEYS[5], shelf, 1)
redis.call('HSET', key, 'state', 'pending', 'shelf', shelf, 'declined', declined, 'declined_since',
  more[4] or now, 'declines', lines, 'error', ARGV[7])
-- A declined attempt does not count as a start, so the task can still expire. Its fencing token is
-- kept.
local number = tonumber(ARGV[5])
if number == 1 or tonumber(more[6]) == number - 1 then
  redis.call('HSET', key, 'unstarted', number, 'fence', math.max(task[4], more[7] or 0))
  redis.call('HDEL', key, 'started_at')
  if more[8] then redis.call('ZADD', KEYS[6], more[8], id) end
end
redis.call('HDEL', key, 'suspect')  -- its losses are kept: the next one makes it a suspect again
redis.call('HINCRBY', KEYS[2], 'declined', 1)
return ack
