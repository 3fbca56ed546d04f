-- Counts the tasks that were enqueued, in the numbers of this minute (see `lib/counting.lua`):
-- `by_job` has their number by job. It is one command a job, except for the job's first tasks in a
-- minute.
local function count_enqueued(minute_prefix, enqueued, by_job, now)
  local hash = minute_prefix .. string.format('%d', now / 60000)
  for job, number in pairs(by_job) do
    local field = 'e:' .. job
    if redis.call('HINCRBY', hash, field, number == 1 and '1' or number) == number then
      if redis.call('HINCRBY', hash, 'jobs', 1) > 2000 then
        redis.call('HDEL', hash, field)
        redis.call('HINCRBY', hash, 'e:(other)', number)
      end
      redis.call('PEXPIRE', hash, 87000000)
      local known = redis.call('ZSCORE', enqueued, job)
      if known or redis.call('ZCOUNT', enqueued, '-inf', '+inf') < 1000 then
        redis.call('ZADD', enqueued, now, job)
      end
    end
  end
end
