#!/usr/bin/env bash
# Regenerates what follows from something else: the chart's CRD and the rules of its admission policy
# (from the operator's models), the users of its Redis (from the library), the values table in the chart's README (from values.yaml) and manifests/ (from the chart).
#   generate.sh           writes them
#   generate.sh --check   changes nothing; names what is out of date and fails
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-.venv/bin/python}
helm=${HELM:-$(e2e/cluster/tools.sh helm)}
namespace=identtqueue
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The chart is copied, so that each step sees the fresh result of the one before even with --check.
mkdir "$out/charts" "$out/manifests"
cp -R charts/identtqueue "$out/charts/"
chart=$out/charts/identtqueue

"$python" -m identtqueue_operator.api.crd >"$chart/files/taskqueues.yaml"
"$python" -m identtqueue_operator.api.admission >"$chart/files/author-policy.yaml"
"$python" charts/redis_users.py >"$chart/files/redis-users.conf"
"$python" charts/values_table.py "$chart" >"$out/README.md"
mv "$out/README.md" "$chart/README.md"

# creator=static: these are not Helm's objects, so they don't claim to be. Helm 4 leaves empty lines
# at the end of each object, Helm 3 does not: without them, the two give the same files.
render() {
  "$helm" template identtqueue "$chart" --namespace "$namespace" --set creator=static "$@" |
    awk '/^$/ { empty++; next }
         { if ($0 == "---") empty = 0
           while (empty > 0) { print ""; empty-- }
           print }'
}

{
  echo '# Generated from charts/identtqueue by charts/generate.sh. Do not edit.'
  render --show-only templates/crd.yaml
} >"$out/manifests/crd.yaml"
{
  cat <<EOF
# Generated from charts/identtqueue by charts/generate.sh. Do not edit.
#
# The TaskQueue resource and the operator, for one namespace that it creates and serves:
#   kubectl apply --server-side -f install.yaml
# The image is not published yet: build it (e2e/cluster/images.sh) and name it below.
# For other namespaces, a Redis to try it with, or alerts, install the chart.
# Kubernetes 1.29 has no ValidatingAdmissionPolicy: take out the last two objects there.
---
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    # The operator and the workers that follow manifests/samples/ meet the strictest standard.
    pod-security.kubernetes.io/enforce: restricted
EOF
  render
} >"$out/manifests/install.yaml"

stale=0
for file in charts/identtqueue/files/taskqueues.yaml charts/identtqueue/files/author-policy.yaml \
  charts/identtqueue/files/redis-users.conf charts/identtqueue/README.md \
  manifests/crd.yaml manifests/install.yaml; do
  if [ "${1:-}" = --check ]; then
    diff -u --label "$file" --label "$file, regenerated" "$file" "$out/$file" >&2 || stale=1
  else
    cp "$out/$file" "$file"
  fi
done
[ $stale = 0 ] || { echo "out of date: run charts/generate.sh" >&2; exit 1; }
