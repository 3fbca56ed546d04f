-- include lib/failure.lua
-- The attempts of a task that have ended without its success: a msgpack list in its hash, of the
-- first one and the last 20. Scripts that run seldom write it, so a task that succeeds at once has
-- none: what is known of its only attempt is in other fields. An entry is: number, worker, pod or
-- host, started at, ms waited, ms run, outcome, type and first line of the failure.

-- Returns the pod of a worker, or its host; empty if it has told neither.
local function pod_of(info, worker)
  local readable, said = pcall(cmsgpack.unpack, redis.call('HGET', info, worker) or '')
  local pod = readable and type(said) == 'table' and (said.pod_name or said.host)
  return type(pod) == 'string' and pod or ''
end

-- Adds the attempt that ends now. It must be called before the script changes the task's times.
local function add_attempt(key, worker, pod, outcome, now, packed_failure)
  local number, started_at, since, enqueued_at, packed = unpack(redis.call('HMGET', key, 'attempt',
    'started_at', 'pending_since', 'enqueued_at', 'history'))
  local past = packed and cmsgpack.unpack(packed) or {}
  local kind, line = '', ''
  if packed_failure then kind, line = failure_of(packed_failure) end
  local started = tonumber(started_at or now)
  local waited = started - tonumber(since or enqueued_at or started)
  past[#past + 1] = {tonumber(number or 0), worker, pod, started, math.max(0, waited),
    math.max(0, now - started), outcome, kind, line}
  if #past > 21 then table.remove(past, 2) end
  redis.call('HDEL', key, 'history')  -- first: it is allowed at maxmemory
  redis.call('HSET', key, 'history', cmsgpack.pack(past))
end
