-- The numbers of a minute or an hour: a HASH with `e:<job>`, how many tasks were enqueued,
-- `w:<job>`, what workers have counted, and `r:<job>` and `d:<job>`, how many tasks were recovered
-- and became dead letters without a report of a worker (see `protocol/counting.py`). `jobs` is the
-- number of such fields. Over 2,000 of them, which is enough for 1,000 jobs, further jobs are
-- counted together.
local MINUTE_MS = 87000000  -- how long those of a minute are kept: 24 h and 10 min
local HOUR_MS = 1209600000  -- how long those of an hour are kept: 14 days

-- Returns the field that counts a job, and whether it is there already.
local function field_of(hash, kind, job)
  local field = kind .. job
  if redis.call('HEXISTS', hash, field) == 1 then return field, true end
  if redis.call('HINCRBY', hash, 'jobs', 1) <= 2000 then return field, false end
  return kind .. '(other)', redis.call('HEXISTS', hash, kind .. '(other)') == 1
end

-- Adds to a plain number of a job.
local function count_plain(hash, kind, job, number, ttl_ms)
  local field, exists = field_of(hash, kind, job)
  redis.call('HINCRBY', hash, field, number)
  if not exists then redis.call('PEXPIRE', hash, ttl_ms) end
end
