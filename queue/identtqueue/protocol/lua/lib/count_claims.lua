-- Counts the tasks that a claim has started, and for how many ms they had been pending.
local function count_claims(stats, claimed, waited)
  redis.call('HINCRBY', stats, 'claimed', claimed)
  redis.call('HINCRBY', stats, 'wait_ms', waited)
end
