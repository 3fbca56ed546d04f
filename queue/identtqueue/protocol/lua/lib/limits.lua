-- What the limits of jobs allow. A job's entry in `limits`: max (how many run at once; who does is
-- in its `running` set), interval and burst (how often one starts: GCRA in its form of virtual
-- scheduling, ITU-T I.371; `rates` holds the theoretical arrival time).
-- `keys` is {limits, rates, prefix of running}. A limit is read once per run; false: there is none.
local known_limits = {}

local function limit_of(keys, name, now)
  if known_limits[name] == nil then
    local packed = redis.call('HGET', keys[1], name)
    local limit = packed and cmsgpack.unpack(packed)
    if limit and limit.max then limit.running = redis.call('SCARD', keys[3] .. name) end
    if limit and limit.interval then
      -- No start can have left it further ahead: a limit or a clock that was changed is healed.
      limit.arrival = math.min(tonumber(redis.call('HGET', keys[2], name) or 0),
        now + limit.burst * limit.interval)
    end
    known_limits[name] = limit
  end
  return known_limits[name]
end

-- How many tasks may start now, and when (if none may) to ask again: a time, or '+inf': when one
-- of the job's tasks stops running.
local function allowance(limit, now)
  local free = limit and limit.max and limit.max - limit.running or math.huge
  if free <= 0 then return 0, '+inf' end
  if not (limit and limit.interval) then return free, now end
  local since = now - (limit.arrival - (limit.burst - 1) * limit.interval)
  if since < 0 then return 0, math.ceil(now - since) end
  -- By 0.2 ms, at most, floats are rounded over 1,000 starts: better ask once more than be wrong.
  local conforming = math.max(1, math.floor((since - 0.2) / limit.interval + 1))
  return math.min(free, limit.burst, conforming), now
end
