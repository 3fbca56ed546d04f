#!/bin/sh
# Starts Redis with the password from REDISCLI_AUTH. Redis gets its hash, in a file that only this
# container sees: the password is in no argument and no log, any character may be in it, and the
# server's own environment is without it.
set -eu
umask 077
: "${REDISCLI_AUTH:?is empty: an empty password would switch authentication off}"
hash=$(printf %s "$REDISCLI_AUTH" | sha256sum | cut -d ' ' -f 1)
{
  echo 'include /etc/identtqueue/redis.conf'
  echo "appendfsync $APPENDFSYNC"
  echo "maxmemory $MAXMEMORY"
  echo "user default on #$hash ~* &* +@all"
} >/tmp/redis.conf
unset REDISCLI_AUTH
exec redis-server /tmp/redis.conf
