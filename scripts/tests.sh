#!/bin/sh
# All tests at once, in three rows: those of the engine that share a deployment, those that have one of their own, and those
# that need no engine. Ends with the closing line of the latter, and fails if any row does.
set -u
cd "$(dirname "$0")/.."
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
rows=

row() { # NAME ARGUMENT...
    name=$1
    shift
    pytest "$@" >"$reports/$name" 2>&1 </dev/null &
    rows="$rows $!"
}

row own --durations=10 -m 'not shared and not long' tests/integration
row others --quiet -m 'not long' tests/unit tests/faults
# shellcheck disable=SC2086,SC2064 # a list of processes, as it is now
trap "kill $rows 2>/dev/null; exit 130" INT TERM

pytest --durations=10 -m 'shared and not long' tests/integration
failed=$?
for each in $rows; do
    wait "$each" || failed=$?
done
cat "$reports/own" "$reports/others"
[ "$failed" -eq 0 ] || echo "A row of tests failed (exit code $failed): see its summary above." >&2
exit "$failed"
