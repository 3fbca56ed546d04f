-- Notes when a worker of a release of the application first registered. The last 20 are kept.
local function note_release(releases, release, kept_ms, now)
  if release == '' then return end
  redis.call('ZADD', releases, 'NX', now, release)
  local over = redis.call('ZCOUNT', releases, '-inf', '+inf') - 20
  if over > 0 then
    redis.call('ZREM', releases, unpack(redis.call('ZRANGE', releases, 0, over - 1)))
  end
  redis.call('PEXPIRE', releases, kept_ms)
end
