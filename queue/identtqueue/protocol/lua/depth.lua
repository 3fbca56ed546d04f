-- depth: counts the tasks of a queue by state; writes nothing
-- KEYS  1 pending  2 workers  3 scheduled  4 dead  5 stats  6 paused  7 limits  8 blocked  9 rates
--       10 tombstones  11 suspects  12 expiring  13 shelves  14 served  15 paused_jobs
--       16 packed_tasks
-- ARGV  1 task_prefix  2 inflight_prefix  3 within_ms: how far to look ahead  4 held_prefix
--       5 running_prefix  6 shelf_prefix
-- Returns {pending, in flight, scheduled, dead, ms that the oldest task that may start has waited
--         or -1, ms until the next scheduled one is due or -1, number of scheduled ones due within
--         within_ms, paused 0|1, workers, Redis time, number of pending ones that may not start
--         now, ms until a held one may or -1, then counters}
-- include lib/now.lua
-- include lib/limits.lua
-- include lib/paused_among.lua
-- include lib/next_due.lua
-- include lib/due_held.lua
-- include lib/tombstones.lua
-- include lib/first_ids.lua
-- include lib/count_expired.lua
-- include lib/each_shelf.lua
-- include lib/readers.lua
-- include lib/fields_of.lua
local now, in_flight = now_ms(), 0
local at = {limits = limits, rates = rates, paused_jobs = paused_jobs,
  running_prefix = running_prefix, task_prefix = task_prefix, packed_tasks = packed_tasks}
local registered = redis.call('ZRANGE', workers, 0, -1)
for _, worker in ipairs(registered) do
  in_flight = in_flight + redis.call('LLEN', inflight_prefix .. worker)
end

local function waited(list, dead_ids)
  local head = first_ids(list, dead_ids, 1)[1] or first_ids(list, dead_ids, 1000)[1]
  if not head then return living(list, dead_ids, task_prefix) > 0 and 0 or -1 end
  local since, enqueued_at = unpack(fields_of(at, head, 'pending_since', 'enqueued_at'))
  return math.max(0, now - tonumber(since or enqueued_at or now))
end

local expired, expired_held = count_expired(expiring, task_prefix, now)
local length = math.max(0, living(pending, tombstones, task_prefix) - expired)
local oldest, queued, startable = waited(pending, tombstones), length, length

if redis.call('EXISTS', limits, blocked, paused_jobs) > 0 then
  local free = {}
  local function free_for(job)
    free[job] = free[job] or (allowance(limit_of(at, job, now), now))
    return free[job]
  end
  startable = 0
  local jobs = redis.call('ZRANGE', blocked, 0, 299)  -- more are not seen
  for _, job in ipairs(jobs) do
    local list, dead_ids = held_prefix .. job, tombstones .. ':' .. job
    local held = living(list, dead_ids, task_prefix)
    local may = math.max(0, math.min(held, free_for(job)))
    if may > 0 then oldest = math.max(oldest, waited(list, dead_ids)) end
    queued, startable, free[job] = queued + held, startable + may, free_for(job) - may
  end
  -- Tasks that no claim has looked at yet: the shares of the first 200 are taken for all.
  local sample, found, shares = first_ids(pending, tombstones, 200), {}, 0
  local texts = texts_of(packed_tasks, sample)
  for i, id in ipairs(sample) do
    local job = reader_of(task_prefix .. id, texts[i])('function') or ''
    found[job] = (found[job] or 0) + 1
  end
  for job, number in pairs(found) do
    shares = shares + math.max(0, math.min(number * length, free_for(job) * #sample))
  end
  -- One division: the sum of rounded quotients could exceed the whole.
  if #sample > 0 then startable = startable + math.ceil(shares / #sample) end
  queued = math.max(0, queued - expired_held)
  startable = math.min(startable, queued)
end

local alone, resting = redis.call('LLEN', suspects), paused_among(at, suspects, task_prefix)
queued, startable = queued + alone, startable + alone - resting
if alone > resting then oldest = math.max(oldest, waited(suspects)) end

each_shelf(shelves, served, now, #registered, function(shelf, number, is_served)
  is_served = is_served and not is_paused(at, string.match(shelf, ':(.*)$'))
  queued, startable = queued + number, startable + (is_served and number or 0)
  if is_served then oldest = math.max(oldest, waited(shelf_prefix .. shelf)) end
end)
local due, next_held = due_held(blocked, now)
local reply = {queued, in_flight, redis.call('ZCARD', scheduled), redis.call('ZCARD', dead),
  oldest, next_due_ms(scheduled, now),
  redis.call('ZCOUNT', scheduled, '-inf', now + tonumber(within_ms)),
  redis.call('EXISTS', paused), #registered, now, queued - startable,
  due > 0 and 0 or next_held}
for _, value in ipairs(redis.call('HGETALL', stats)) do reply[#reply + 1] = value end
return reply
