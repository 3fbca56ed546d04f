#!/usr/bin/env bash
# The programs that the checks need beside Python and helm: redis-server, Chromium for the tests of the
# dashboard, and libfaketime where it can be had. What is missing comes from Debian's packages (as root);
# elsewhere it is named.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../e2e/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/cluster/lib.sh"

POLICY=/usr/sbin/policy-rc.d

main() {
  if ! command -v redis-server >/dev/null; then
    install_redis
    command -v redis-server >/dev/null || die "redis-server is installed, but not on PATH"
  fi
  command -v chromium >/dev/null || command -v google-chrome >/dev/null ||
    (debian_packages chromium=chromium) || exit
  if ! compgen -G '/usr/lib/*/faketime' >/dev/null; then
    (debian_packages faketime=faketime) ||
      say "no libfaketime: the test of jumping clocks is skipped"
  fi
}

# The package brings a service. Nobody asked for one: it is neither started now (a policy as in
# Debian's container images says so, for as long as this script runs) nor at the next boot.
install_redis() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -e "$POLICY" ]; then
    trap 'rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
  fi
  (debian_packages redis-server=redis-server) || exit
  if command -v systemctl >/dev/null; then
    systemctl --quiet disable redis-server || say "redis-server will start with the machine"
  fi
}

main "$@"
