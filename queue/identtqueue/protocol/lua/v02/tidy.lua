-- tidy: lets what a forwarded request has left behind expire
-- KEYS  1 sent  2 status  3 result
-- ARGV  1 kept_ms: 0 deletes it at once
-- Returns "ok"
for _, key in ipairs({sent, status, result}) do redis.call('PEXPIRE', key, kept_ms) end
return 'ok'
