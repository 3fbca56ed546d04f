-- decline: running -> pending, by a worker that cannot run the task, because it has no such job or
-- its job takes other arguments. This counts neither as a failure nor as a loss. The task goes to a
-- shelf, for workers that have not declined it yet. -> cancelled, if that was asked for meanwhile
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 shelves  6 expiring
--       7 ended  8 meta  9 info  10 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 id  5 attempt
--       6 signature: the one that declines it  7 failure: encoded
--       8 line: the same for people, in one line  9 running_prefix  10 shelf_prefix
--       11 cancelled_error
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/own.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
-- include lib/history.lua
local at = {unique_prefix = unique_prefix, stats = stats, ended = ended, meta = meta,
  task_prefix = task_prefix, packed_tasks = packed_tasks}
local key = task_prefix .. id
local ack, task = own(at, id, worker, attempt, 'pending', true)
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', inflight, 1, id)
if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
local job, cancel, declined, since, lines, unstarted, token, expires_at = unpack(
  redis.call('HMGET', key, 'function', 'cancel', 'declined', 'declined_since', 'declines',
    'unstarted', 'fence', 'expires_at'))
if cancel then
  end_cancelled(at, key, id, cancelled_error, now, task.ttl)
  return ack
end
add_attempt(key, worker, pod_of(info, worker), 'declined', now, failure)
local signatures, known = {signature}, false
for other in string.gmatch(declined or '', '[^,]+') do
  if other == signature then known = true else signatures[#signatures + 1] = other end
end
table.sort(signatures)
declined, lines = table.concat(signatures, ','), lines or ''
local shelf = declined .. ':' .. (job or '')
if not known and #lines < 4096 then lines = lines .. '\n' .. line end
redis.call('RPUSH', shelf_prefix .. shelf, id)
redis.call('HINCRBY', shelves, shelf, 1)
redis.call('HSET', key, 'state', 'pending', 'shelf', shelf, 'declined', declined, 'declined_since',
  since or now, 'declines', lines, 'error', failure)
-- A declined attempt does not count as a start, so the task can still expire. Its fencing token is
-- kept.
local number = tonumber(attempt)
if number == 1 or tonumber(unstarted) == number - 1 then
  token = math.max(task.started_at, token or 0)
  redis.call('HSET', key, 'unstarted', number, 'fence', token)
  redis.call('HDEL', key, 'started_at')
  if expires_at then redis.call('ZADD', expiring, expires_at, id) end
end
redis.call('HDEL', key, 'suspect')  -- its losses are kept: the next one makes it a suspect again
redis.call('HINCRBY', stats, 'declined', 1)
return ack
