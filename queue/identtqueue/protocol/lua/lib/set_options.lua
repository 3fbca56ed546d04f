-- Stores the options of a task that a cron entry makes. It may start from the time `from` on, and
-- expires that much later. Its unique key is taken by the caller. `at` names `expiring`.
local function set_options(at, id, key, options, from)
  if options.ttl then redis.call('HSET', key, 'ttl', options.ttl) end
  if options.tags then redis.call('HSET', key, 'tags', options.tags) end
  if options.expires then
    redis.call('HSET', key, 'expires_at', from + options.expires)
    redis.call('ZADD', at.expiring, from + options.expires, id)
  end
  if options.unique then
    redis.call('HSET', key, 'unique', options.unique, 'unique_ttl', options.unique_ttl)
  end
end
