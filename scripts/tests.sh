#!/bin/sh
# All tests at once: those of the engine in two rows, one of which shares a deployment, and beside them those that need
# no engine. Ends with the closing line of the latter, and fails if either does.
set -u
cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT

pytest --quiet tests/unit tests/faults >"$report" 2>&1 </dev/null &
others=$!
trap 'kill "$others" 2>/dev/null; exit 130' INT TERM

pytest -n 2 --dist loadgroup --durations=15 tests/integration
engine=$?
wait "$others"
without=$?
cat "$report"
[ "$engine" -eq 0 ] || echo "The tests of the engine failed (exit code $engine): see their summary above." >&2
[ "$engine" -eq 0 ] && [ "$without" -eq 0 ]
