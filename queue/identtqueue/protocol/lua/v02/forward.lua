-- forward: pushes a request to the workers of 0.2, once for each delivery
-- KEYS  1 requests  2 sent  3 status
-- ARGV  1 delivery: its number, from 1 on  2 request  3 status_data  4 kept_ms
-- Returns "ok" | "sent": it was pushed before, perhaps by another bridge
local last = redis.call('GET', sent)
if last and tonumber(last) >= tonumber(delivery) then return 'sent' end
redis.call('SET', sent, delivery, 'PX', kept_ms)
redis.call('SET', status, status_data, 'PX', kept_ms)
redis.call('RPUSH', requests, request)
return 'ok'
