-- The registry of a queue's jobs: a HASH job -> msgpack map of what workers have declared, with
-- `declared_at`, the time of the last declaration.
local function declare(jobs, job, packed, now)
  local declaration = cmsgpack.unpack(packed)
  declaration.declared_at = now
  redis.call('HSET', jobs, job, cmsgpack.pack(declaration))
end

-- Forgets jobs that were neither declared nor enqueued since `oldest`. Each call looks at other
-- jobs, at most 100 of them.
local function forget_jobs(jobs, enqueued, oldest, now)
  local silent = redis.call('ZRANGEBYSCORE', enqueued, '-inf', oldest, 'LIMIT', 0, 100)
  if #silent > 0 then redis.call('ZREM', enqueued, unpack(silent)) end
  local names = redis.call('HKEYS', jobs)
  local first = #names > 100 and now % #names or 0
  for i = 1, math.min(#names, 100) do
    local name = names[(first + i) % #names + 1]
    local declared_at = cmsgpack.unpack(redis.call('HGET', jobs, name)).declared_at or 0
    if declared_at <= oldest and not redis.call('ZSCORE', enqueued, name) then
      redis.call('HDEL', jobs, name)
    end
  end
end
