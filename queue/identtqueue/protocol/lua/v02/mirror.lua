-- mirror: shows the state of a running task to its 0.2 client
-- KEYS  1 owed  2 status
-- ARGV  1 id  2 status_data  3 ttl
-- Returns "ok" | "missing": it has its result already
if not redis.call('ZSCORE', owed, id) then return 'missing' end
redis.call('SET', status, status_data, 'PX', ttl)
return 'ok'
