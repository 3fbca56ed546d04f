-- Stores the options of a task that differ from the default, and takes its unique key.
local function keep_options(key, id, options, now, expiring, unique_prefix)
  if options.ttl then redis.call('HSET', key, 'ttl', options.ttl) end
  if options.tags then redis.call('HSET', key, 'tags', options.tags) end
  if options.parent then redis.call('HSET', key, 'parent', options.parent) end
  if options.expires then
    redis.call('HSET', key, 'expires_at', now + options.expires)
    redis.call('ZADD', expiring, now + options.expires, id)
  end
  if options.unique then
    redis.call('HSET', key, 'unique', options.unique, 'unique_ttl', options.unique_ttl)
    redis.call('SET', unique_prefix .. options.unique, id, 'PX', options.unique_ttl)
  end
end
