-- Removes what is stored of a worker beside its lease and its tasks.
local function forget_worker(info, draining, counted, worker)
  redis.call('HDEL', info, worker)
  redis.call('SREM', draining, worker)
  redis.call('HDEL', counted, worker)
end
