-- register: a worker incarnation takes its first lease
-- KEYS  1 workers  2 info  3 meta
-- ARGV  1 worker  2 lease (ms)  3 info (msgpack)  4 protocol version
-- Returns {"ok", Redis time in ms} | {"protocol", the version found}
-- include lib/now.lua
local protocol = redis.call('HGET', KEYS[3], 'protocol')
if protocol and protocol ~= ARGV[4] then return {'protocol', protocol} end
local now = now_ms()
-- ZREM first, although there is nothing to remove: a first write that is allowed at maxmemory
-- lets a worker start on a full Redis, and drain it.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], 'protocol', ARGV[4])
return {'ok', now}
