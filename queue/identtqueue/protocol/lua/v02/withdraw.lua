-- withdraw: takes a request back that no worker of 0.2 has taken yet
-- KEYS  1 requests  2 sent  3 status
-- ARGV  1 request
-- Returns "ok" | "taken": a worker has it
if redis.call('LREM', requests, 1, request) == 0 then return 'taken' end
redis.call('DEL', sent, status)
return 'ok'
