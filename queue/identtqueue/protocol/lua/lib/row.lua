-- include lib/failure.lua
-- include lib/matches.lua
-- Returns what a list shows of a task: id, state, job, attempt, failures, losses, enqueued at,
-- since when it is there, due at, started at, finished at, owner, type and first line of its
-- failure, and its tags. What it does not have is false. `read` reads its fields.
local function row(at, read, id, time)
  local state, job, attempt, failures, losses, enqueued_at, started_at, finished_at, owner, packed,
    tags = read('state', 'function', 'attempt', 'failures', 'losses', 'enqueued_at', 'started_at',
    'finished_at', 'owner', 'error', 'tags')
  local kind, line = false, false
  if packed then kind, line = failure_of(packed) end
  return {id, state, job or '', attempt or 0, failures or 0, losses or 0, enqueued_at or 0,
    since_when(at, read, time), at.kind == 'scheduled' and time or false, started_at, finished_at,
    owner, kind, line, tags}
end
