-- include lib/limits.lua
-- Counts the tasks of paused jobs among the first 200 of a list. `at` names the keys.
local function paused_among(at, list, task_prefix)
  if redis.call('EXISTS', at.paused_jobs) == 0 then return 0 end
  local number = 0
  for _, id in ipairs(redis.call('LRANGE', list, 0, 199)) do
    if is_paused(at, redis.call('HGET', task_prefix .. id, 'function') or '') then
      number = number + 1
    end
  end
  return number
end
