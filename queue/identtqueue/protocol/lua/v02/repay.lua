-- repay: gives the result of a task to the 0.2 client that waits for it, once
-- KEYS  1 owed  2 status  3 result
-- ARGV  1 id  2 status_data  3 result_data  4 ttl
-- Returns "ok" | "missing": it is not owed, or not any more
if not redis.call('ZSCORE', owed, id) then return 'missing' end
redis.call('ZREM', owed, id)  -- first: it frees memory, so a full Redis can still give results
redis.call('SET', status, status_data, 'PX', ttl)
redis.call('RPUSH', result, result_data)
redis.call('PEXPIRE', result, ttl)
return 'ok'
