#!/bin/sh
# Starts Redis with the passwords from the environment. Redis gets their hashes, in a file that only
# this container sees: the passwords are in no argument and no log, any character may be in them, and
# the server's own environment is without them.
set -eu
umask 077
: "${REDISCLI_AUTH:?is empty: an empty password would switch authentication off}"
hash_of() {
  printf %s "$1" | sha256sum | cut -d ' ' -f 1
}
{
  echo 'include /etc/identtqueue/redis.conf'
  echo "appendfsync $APPENDFSYNC"
  echo "maxmemory $MAXMEMORY"
  echo "user default on #$(hash_of "$REDISCLI_AUTH") ~* &* +@all"
  # A user for each role, where the chart made its password; see `identtqueue acl`.
  if [ -n "${OPERATOR_PASSWORD:-}" ]; then
    sed -e '/^#/d' \
      -e "s/@operator@/#$(hash_of "$OPERATOR_PASSWORD")/" \
      -e "s/@worker@/#$(hash_of "$WORKER_PASSWORD")/" \
      -e "s/@producer@/#$(hash_of "$PRODUCER_PASSWORD")/" \
      -e "s/@admin@/#$(hash_of "$ADMIN_PASSWORD")/" /etc/identtqueue/users.conf
  fi
} >/tmp/redis.conf
unset REDISCLI_AUTH OPERATOR_PASSWORD WORKER_PASSWORD PRODUCER_PASSWORD ADMIN_PASSWORD
exec redis-server /tmp/redis.conf
