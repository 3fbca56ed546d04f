#!/usr/bin/env bash
# Runs a command in the cluster's environment (see env.sh): exec.sh kubectl get nodes
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: exec.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$@"
