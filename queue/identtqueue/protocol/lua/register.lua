-- register: takes the first lease of a worker incarnation, and stores the limits of its jobs; those
-- of the newest registration are valid
-- KEYS  1 workers  2 info  3 meta  4 limits  5 blocked  6 rates  7 wake
-- ARGV  1 worker  2 lease (ms)  3 info (msgpack)  4 protocol version
--       5.. pairs: job, its limits (msgpack, or empty: none)
-- Returns {"ok", Redis time in ms} | {"protocol", the version found}
-- include lib/now.lua
-- include lib/pending.lua
local protocol = redis.call('HGET', KEYS[3], 'protocol')
if protocol and protocol ~= ARGV[4] then return {'protocol', protocol} end
local now = now_ms()
-- ZREM first, although there is nothing to remove. Because this first write is allowed at
-- maxmemory, a worker can start on a full Redis and drain it.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], 'protocol', ARGV[4])
for i = 5, #ARGV, 2 do
  local job, limits = ARGV[i], ARGV[i + 1]
  if (redis.call('HGET', KEYS[4], job) or '') ~= limits then
    if limits ~= '' then
      redis.call('HSET', KEYS[4], job, limits)
    else
      redis.call('HDEL', KEYS[4], job)
      redis.call('HDEL', KEYS[6], job)
    end
    if redis.call('ZSCORE', KEYS[5], job) then
      redis.call('ZADD', KEYS[5], 0, job)  -- so that the next claim checks what may start now
      wake_one(KEYS[7])
    end
  end
end
return {'ok', now}
