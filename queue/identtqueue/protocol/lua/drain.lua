-- drain: asks workers to stop fetching, or calls them back
-- KEYS  1 workers  2 draining  3 audit  4 answer:<call>
-- ARGV  1 order: "drain" | "undrain"  2 control_prefix  3 note: for the audit list, or empty
--       4.. names of workers
-- Returns the workers whose state changed
-- include lib/now.lua
-- include lib/once.lua
-- include lib/log_act.lua
local known = first_answer(answer)
if known then return known end
local changed = {}
for i = LIST_START, #ARGV do
  local worker, done = ARGV[i], 0
  local drains = redis.call('SISMEMBER', draining, worker) == 1
  if order == 'undrain' then
    done = redis.call('SREM', draining, worker)
  elseif not drains and redis.call('ZSCORE', workers, worker) then
    redis.call('SREM', draining, worker)  -- first: it is allowed at maxmemory
    done = redis.call('SADD', draining, worker)
  end
  if done == 1 then
    changed[#changed + 1] = worker
    redis.call('PUBLISH', control_prefix .. worker, order)
  end
end
if #changed == 0 then return changed end
log_act(audit, note, #ARGV - LIST_START + 1, #changed, now_ms())
return remember(answer, changed)
