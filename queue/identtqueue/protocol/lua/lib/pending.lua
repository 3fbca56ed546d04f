-- Making tasks pending, and telling who cares.
-- A single token in `wake` is enough: the worker that takes it passes it on while tasks are left
-- (see claim). One idle worker then claims, or recomputes how long it may block.
local function wake_one(wake)
  if redis.call('EXISTS', wake) == 0 then redis.call('RPUSH', wake, '1') end
end

-- The doorbell (operator) rings only when the queue was empty before.
local function ring(pending, wake, doorbell, before)
  if before == 0 then redis.call('PUBLISH', doorbell, '1') end
  wake_one(wake)
end

-- A scheduled task became the earliest: one idle worker recomputes how long it may block, and the
-- operator (if a doorbell is given) when to have workers ready.
local function ring_for_schedule(wake, doorbell)
  if doorbell then redis.call('PUBLISH', doorbell, '1') end
  wake_one(wake)
end
