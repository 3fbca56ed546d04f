-- release: running -> pending (head, in their old order; those whose job has held tasks go to the
-- head of these, suspects to the head of the suspects). It counts neither as a failure nor as a
-- loss. -> cancelled, if that was asked for
-- KEYS  1 inflight:<worker>  2 pending  3 wake  4 stats  5 blocked  6 tombstones  7 suspects
-- ARGV  1 task prefix  2 worker  3 doorbell  4 held prefix  5 running prefix
--       6 unique prefix  7 encoded reason of a cancelled task  8.. pairs: id, attempt
-- Returns per attempt, in order: "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/put_back.lua
-- include lib/tombstones.lua
-- include lib/end_cancelled.lua
local now, before = now_ms(), living(KEYS[2], KEYS[6], ARGV[1])
local acks, released = {}, 0
for i = #ARGV - 1, 8, -2 do
  local id, key = ARGV[i], ARGV[1] .. ARGV[i]
  local ack, task = owned(key, ARGV[2], ARGV[i + 1], 'pending', true)
  if ack == 'ok' then
    redis.call('LREM', KEYS[1], 1, id)
    local more = redis.call('HMGET', key, 'function', 'suspect', 'cancel')
    if task[8] and (more[3] or not more[2]) then
      vacate(ARGV[5], KEYS[5], KEYS[3], key, id, task[8])
    end
    if more[3] then
      end_cancelled(key, id, ARGV[7], now, task[5], ARGV[6], KEYS[4])
    else
      put_back(KEYS[2], ARGV[4], KEYS[5], key, id, more[1], more[2] and KEYS[7])
      redis.call('HSET', key, 'state', 'pending', 'pending_since', now)
      released = released + 1
    end
  end
  acks[(i - 8) / 2 + 1] = ack
end
if released > 0 then
  redis.call('HINCRBY', KEYS[4], 'released', released)
  ring(KEYS[2], KEYS[3], ARGV[3], before)
end
return acks
