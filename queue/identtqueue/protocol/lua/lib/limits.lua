-- What the limits of jobs allow. A job's entry in `limits` has `max` (how many tasks may run at
-- once; the ids of those that run are in its `running` set), `interval` and `burst` (how often one
-- may start: GCRA in its form of virtual scheduling, ITU-T I.371; `rates` holds the theoretical
-- arrival time). The jobs in `paused_jobs` may start none. `at` names these keys. A limit is read
-- once per run of the script; false means that there is none.
local known_limits, some_are_paused = {}, nil

local function is_paused(at, job)
  if some_are_paused == nil then
    some_are_paused = redis.call('EXISTS', at.paused_jobs) == 1
  end
  return some_are_paused and redis.call('HEXISTS', at.paused_jobs, job) == 1
end

local function limit_of(at, job, now)
  if known_limits[job] == nil then
    local packed = redis.call('HGET', at.limits, job)
    local limit = packed and cmsgpack.unpack(packed)
    if limit and limit.max then limit.running = redis.call('SCARD', at.running_prefix .. job) end
    if limit and limit.interval then
      -- No start can have set it further ahead. This repairs it after a change of limit or clock.
      limit.arrival = math.min(tonumber(redis.call('HGET', at.rates, job) or 0),
        now + limit.burst * limit.interval)
    end
    if is_paused(at, job) then
      limit = limit or {}
      limit.paused = true
    end
    known_limits[job] = limit
  end
  return known_limits[job]
end

-- Returns how many tasks may start now, and if none may, when to ask again: a time, or '+inf',
-- which means when one of the job's tasks stops running, or when a paused job is resumed.
local function allowance(limit, now)
  if limit and limit.paused then return 0, '+inf' end
  local free = limit and limit.max and limit.max - limit.running or math.huge
  if free <= 0 then return 0, '+inf' end
  if not (limit and limit.interval) then return free, now end
  local since = now - (limit.arrival - (limit.burst - 1) * limit.interval)
  if since < 0 then return 0, math.ceil(now - since) end
  -- Over 1,000 starts the rounding errors of floats add up to 0.2 ms at most. Subtract that: a start
  -- that is too late costs another question, one that is too early breaks the limit.
  local conforming = math.max(1, math.floor((since - 0.2) / limit.interval + 1))
  return math.min(free, limit.burst, conforming), now
end
