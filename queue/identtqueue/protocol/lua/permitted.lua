-- permitted: which commands the caller's ACL lacks; writes nothing. A script that is refused a
-- command half way has done its first half, so a worker asks before it claims anything.
-- KEYS  1 doorbell
-- ARGV  1.. names of commands
-- Returns the names of those refused; none before Redis 7.0, which can't tell
local refused = {}
for i = 1, redis.acl_check_cmd and #ARGV or 0 do
  local allowed = redis.acl_check_cmd(ARGV[i], KEYS[1], KEYS[1], KEYS[1])
  if not allowed then refused[#refused + 1] = ARGV[i] end
end
return refused
