-- include lib/fence.lua
-- Prepares the next attempt of a task that has started before. Returns its number, and the failures
-- and losses up to now. `attempt` is the number of the last one.
local function begin_again(id, key, attempt, now, news)
  fence(id, key, now, news)
  local failures, losses = unpack(redis.call('HMGET', key, 'failures', 'losses'))
  return {attempt + 1, failures or 0, losses or 0}
end
