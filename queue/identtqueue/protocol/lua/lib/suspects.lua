-- include lib/limits.lua
-- Suspects: tasks that were running when workers were lost, so often that they may be the cause.
-- They wait in their own list. Each runs alone in its worker, so that the next loss identifies the
-- culprit. A suspect keeps its slot of `max_running` while it waits, so that no task overtakes it.
-- `at` names the keys and prefixes, and what is known of the worker.

-- Finds the first of 20 suspects that may start. Returns its id, its job, and since when it waits.
-- If there is none: nil, and when to ask again.
local function next_suspect(at, now)
  local sooner
  for _, id in ipairs(redis.call('LRANGE', at.suspects, 0, 19)) do
    local job, slot, since = unpack(
      redis.call('HMGET', at.task_prefix .. id, 'function', 'slot', 'pending_since'))
    local limit = job and limit_of(at, job, now)
    local slots = limit and limit.max and slot == job and 1 or 0
    if slots > 0 then limit.running = limit.running - slots end
    local free, again = allowance(limit, now)
    if slots > 0 then limit.running = limit.running + slots end
    if free > 0 then return id, job, tonumber(since or now) end
    if again ~= '+inf' then sooner = math.min(sooner or again, again) end
  end
  return nil, sooner or now + 1000
end

-- Busy workers may never become idle by themselves. So when a suspect has waited for 3 s, one of
-- them must claim nothing more until it is idle. If that takes longer than the suspect has waited
-- already, it is another worker's turn. Returns for how many ms the caller is the one that must
-- claim nothing, or nil.
local function reserve(at, since, now)
  local holder, waited = redis.call('GET', at.isolating), now - since
  if holder == at.worker then return math.max(1, redis.call('PTTL', at.isolating)) end
  if waited < 3000 then return nil end
  if holder and redis.call('ZSCORE', at.workers, holder)
    and redis.call('SISMEMBER', at.draining, holder) == 0 then return nil end
  local ms = math.min(math.max(waited, 5000), 3600000)
  redis.call('DEL', at.isolating)  -- first: it is allowed at maxmemory
  redis.call('SET', at.isolating, at.worker, 'PX', ms)
  return ms
end

-- Starts a suspect if the worker runs nothing. Returns how many tasks the claim may start in all,
-- the ms until something is due, and how many more suspects another idle worker may start.
local function serve_suspects(at, most, next_due, now, news, start)
  if redis.call('EXISTS', at.suspects) == 0 then return most, next_due, 0 end
  local function tell(what, number) news[#news + 1], news[#news + 2] = what, number end
  local id, job, since = next_suspect(at, now)
  local more = 0
  if not id then
    local ms = math.max(0, job - now)
    next_due = next_due < 0 and ms or math.min(next_due, ms)
  elseif at.idle ~= '1' then
    local hold = reserve(at, since, now)
    if hold then most = 0; tell('hold', hold) end
  elseif most > 0 then
    redis.call('LREM', at.suspects, 1, id)
    redis.call('RPUSH', at.inflight, id)
    known_limits[job] = nil  -- it gives its slot back and takes it again: count anew
    if start(at.suspects, {id}, 1) then
      most, more = 1, redis.call('LLEN', at.suspects)
      if more == 0 or redis.call('GET', at.isolating) == at.worker then
        redis.call('DEL', at.isolating)
      end
      tell('alone', 1)
    else
      redis.call('LREM', at.inflight, -1, id)
    end
  end
  tell('suspects', redis.call('LLEN', at.suspects))
  return most, next_due, more
end
