-- pause_job: stops all claims of one job's tasks, or resumes them. A paused job's tasks are held as
-- those of a job at a limit
-- KEYS  1 paused_jobs  2 blocked  3 pending  4 suspects  5 shelves  6 wake  7 audit
--       8 answer:<call>
-- ARGV  1 order: "pause" | "resume"  2 job  3 most: how many jobs may be paused  4 doorbell
--       5 note: for the audit list, or empty
-- Returns "ok" | "as before" | "too many"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
-- include lib/log_act.lua
local known = first_answer(answer)
if known then return known end
local now, stops, stopped = now_ms(), order == 'pause', redis.call('HEXISTS', paused_jobs, job) == 1
if stops == stopped then return 'as before' end
if stops and redis.call('HLEN', paused_jobs) >= tonumber(most) then return 'too many' end
redis.call('HDEL', paused_jobs, job)  -- first: it is allowed at maxmemory
if stops then redis.call('HSET', paused_jobs, job, now) end
if redis.call('ZSCORE', blocked, job) then
  redis.call('ZADD', blocked, stops and '+inf' or 0, job)
end
if stopped and redis.call('EXISTS', pending, blocked, suspects, shelves) > 0 then
  ring(pending, wake, doorbell, 0)
end
log_act(audit, note, 1, 1, now)
return remember(answer, 'ok')
