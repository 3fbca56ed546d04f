-- register: takes the first lease of a worker incarnation, and stores the limits of its jobs and
-- what it declares about them; those of the newest registration are valid. Jobs that were neither
-- declared nor enqueued for long are forgotten. Notes when a release first registered
-- KEYS  1 workers  2 info  3 meta  4 limits  5 blocked  6 rates  7 wake  8 jobs  9 enqueued
--       10 releases
-- ARGV  1 worker  2 lease_ms  3 packed_info: msgpack  4 version: of the protocol
--       5 kept_ms: how long jobs are remembered
--       6 release: of the application, or empty
--       7 kept: what is kept of ended tasks (see lib/recent.lua), or empty: the default
--       8.. per job: its name, its limits (msgpack, or empty: none), its declaration (msgpack map)
-- Returns {"ok", Redis time in ms} | {"protocol", the version found}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/jobs.lua
-- include lib/note_release.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
local now = now_ms()
-- ZREM first, although there is nothing to remove. Because this first write is allowed at
-- maxmemory, a worker can start on a full Redis and drain it.
redis.call('ZREM', workers, worker)
redis.call('ZADD', workers, now + tonumber(lease_ms), worker)
redis.call('HSET', info, worker, packed_info)
redis.call('HSET', meta, 'protocol', version)
if kept == '' then redis.call('HDEL', meta, 'keeping')
else redis.call('HSET', meta, 'keeping', kept) end
for i = LIST_START, #ARGV, 3 do
  local job, packed = ARGV[i], ARGV[i + 1]
  declare(jobs, job, ARGV[i + 2], now)
  if (redis.call('HGET', limits, job) or '') ~= packed then
    if packed ~= '' then
      redis.call('HSET', limits, job, packed)
    else
      redis.call('HDEL', limits, job)
      redis.call('HDEL', rates, job)
    end
    if redis.call('ZSCORE', blocked, job) then
      redis.call('ZADD', blocked, 0, job)  -- so that the next claim checks what may start now
      wake_one(wake)
    end
  end
end
note_release(releases, release, kept_ms, now)
forget_jobs(jobs, enqueued, now - tonumber(kept_ms), now)
return {'ok', now}
