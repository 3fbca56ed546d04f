-- include lib/expiry.lua
-- include lib/failure.lua
-- Decides whether an entry of a container is a task that a page shows. `at` says what is read, and
-- has the `filter`; `read` reads fields of the task (see readers.lua). A condition reads only the
-- field that it needs, since most entries fail one.

local EXPECTED = {pending = 'pending', held = 'pending', shelf = 'pending', suspects = 'pending',
  scheduled = 'scheduled', dead = 'failed'}

-- Returns whether the task is in this container. Containers may also hold the ids of tasks that
-- were cancelled, that have expired, or that lie elsewhere because they were enqueued again.
local function is_here(at, read, id, time)
  local state, held, shelf, suspect, owner, finished_at, expires_at, attempt = read('state', 'held',
    'shelf', 'suspect', 'owner', 'finished_at', 'expires_at', 'attempt')
  if not state then return false end
  if at.kind == 'inflight' then return state == 'running' and 'inflight:' .. owner == at.part end
  if at.kind == 'ended' then
    local ended = state == 'succeeded' or state == 'failed' or state == 'cancelled'
    return ended and tonumber(finished_at) == time
  end
  if state ~= EXPECTED[at.kind] then return false end
  if state == 'pending' then
    local home = shelf and 'shelf:' .. shelf or suspect and 'suspects' or held and 'held:' .. held
    if (home or 'pending') ~= at.part then return false end
  end
  return state == 'failed' or not has_expired(at.task_prefix .. id, expires_at, attempt, at.now)
end

-- Returns since when the task is in this container.
local function since_when(at, read, time)
  if time then return time end
  if at.kind == 'inflight' then return tonumber(read('started_at') or 0) end
  local since, enqueued_at = read('pending_since', 'enqueued_at')
  return tonumber(since or enqueued_at or 0)
end

local function is_of_type(packed, wanted)
  local kind = packed and failure_of(packed)
  return kind and (kind == wanted or string.match(kind, '[^.]*$') == wanted)
end

-- Returns whether one of these workers owns the task, or had it in an attempt that has ended.
local function was_run_by(read, workers, pods)
  local owner, packed = read('owner', 'history')
  for _, worker in ipairs(workers) do
    if owner == worker then return true end
  end
  for _, past in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    for _, worker in ipairs(workers) do if past[2] == worker then return true end end
    for _, pod in ipairs(pods) do if past[3] == pod then return true end end
  end
  return false
end

-- Returns whether a job has declared that it hides some of its arguments.
local function hides_some(at, job)
  if at.hiding[job] == nil then
    local packed = redis.call('HGET', at.jobs, job)
    local hidden = packed and cmsgpack.unpack(packed).hidden
    at.hiding[job] = hidden and #hidden > 0 or false
  end
  return at.hiding[job]
end

local function has_text(at, read, text)
  local job, payload = read('function', 'payload')
  return payload and not hides_some(at, job or '') and string.find(payload, text, 1, true)
end

local function matches(at, read, id, time)
  local filter = at.filter
  if filter.id and string.sub(id, 1, #filter.id) ~= filter.id then return false end
  if filter.job and read('function') ~= filter.job then return false end
  if filter.state and read('state') ~= filter.state then return false end
  if filter.tag then
    local tags = '\n' .. (read('tags') or '') .. '\n'
    if not string.find(tags, '\n' .. filter.tag .. '\n', 1, true) then return false end
  end
  if filter.error and not is_of_type(read('error'), filter.error) then return false end
  if filter.workers and not was_run_by(read, filter.workers, filter.pods) then return false end
  if filter.newer or filter.older then
    local age = at.now - since_when(at, read, time)
    if filter.newer and age > filter.newer or filter.older and age < filter.older then
      return false
    end
  end
  if filter.text and not has_text(at, read, filter.text) then return false end
  return is_here(at, read, id, time)
end
