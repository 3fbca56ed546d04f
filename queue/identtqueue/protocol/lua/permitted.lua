-- permitted: lists the commands that the caller's ACL lacks; writes nothing. If Redis refuses a
-- command in the middle of a script, the script is half done. So a worker asks before its first
-- claim.
-- KEYS  1 doorbell
-- ARGV  1.. names of commands
-- Returns the names of those that are refused; empty before Redis 7.0, which has no such check
local refused = {}
for i = LIST_START, redis.acl_check_cmd and #ARGV or 0 do
  local allowed = redis.acl_check_cmd(ARGV[i], doorbell, doorbell, doorbell)
  if not allowed then refused[#refused + 1] = ARGV[i] end
end
return refused
