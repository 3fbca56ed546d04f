-- describe: renews what a worker says about itself, such as its memory
-- KEYS  1 workers  2 info
-- ARGV  1 worker  2 packed_info: msgpack
-- Returns "ok" | "lost"
if not redis.call('ZSCORE', workers, worker) then return 'lost' end
redis.call('HSET', info, worker, packed_info)
return 'ok'
