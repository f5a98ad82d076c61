#!/bin/sh
# All tests at once, in three rows: those of the engine that share a deployment, those that have one of their own, and those
# that need no engine, after which comes the rest of the second row. Ends with the closing line of those without an engine, and
# fails if any row does.
set -u
cd "$(dirname "$0")/.."
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
rows=
# What the third row takes from the second: about as long as that row is shorter
late='test_other_apps.py test_playbooks.py test_requests.py test_strangers.py'
# And what comes at the end of the second, on machines of its own
machines=tests/integration/test_matrix.py

tests() { # NAME ARGUMENT...
    name=$1
    shift
    pytest "$@" >"$reports/$name" 2>&1 </dev/null &
    child=$!
    trap 'kill "$child" 2>/dev/null; exit 130' INT TERM
    wait "$child"
}

row() { # FUNCTION
    "$@" &
    rows="$rows $!"
}

own() {
    # shellcheck disable=SC2046 # a word for each file
    tests own --durations=10 -m 'not shared and not long' tests/integration $(printf ' --ignore=tests/integration/%s' $late) "--ignore=$machines"
    failed=$?
    tests machines --durations=3 "$machines" || failed=$?
    return "$failed"
}

others() {
    tests others --quiet --durations=25 -m 'not long' tests/unit tests/faults
    failed=$?
    # shellcheck disable=SC2046
    tests late --durations=10 -m 'not shared and not long' $(printf ' tests/integration/%s' $late) || failed=$?
    return "$failed"
}

row own
row others
# shellcheck disable=SC2064 # a list of processes, as it is now
trap "kill $rows 2>/dev/null; exit 130" INT TERM

pytest --durations=10 -m 'shared and not long' tests/integration
failed=$?
for each in $rows; do
    wait "$each" || failed=$?
done
cat "$reports/own" "$reports/machines" "$reports/late" "$reports/others"
[ "$failed" -eq 0 ] || echo "A row of tests failed (exit code $failed): see its summary above." >&2
exit "$failed"
