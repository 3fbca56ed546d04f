-- Notifies workers and the operator of new pending tasks.

-- Wakes one idle worker, which then claims, or recomputes how long it may block. A single token in
-- `wake` is enough, since the worker that takes it passes it on while tasks are left (see claim).
local function wake_one(wake)
  if redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, '1') end
end

-- Wakes one idle worker, and rings the operator's doorbell if the queue was empty before.
local function ring(pending, wake, doorbell, before)
  if before == 0 then redis.call('PUBLISH', doorbell, '1') end
  wake_one(wake)
end

-- For a scheduled task that became the earliest: one idle worker recomputes how long it may block.
-- If a doorbell is given, the operator recomputes when it must have workers ready.
local function ring_for_schedule(wake, doorbell)
  if doorbell then redis.call('PUBLISH', doorbell, '1') end
  wake_one(wake)
end
