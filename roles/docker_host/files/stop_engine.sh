#!/bin/sh
# Stops the engine that start_engine.sh started, and no other.
# Usage: stop_engine.sh STARTED-FILE TIMEOUT
# Says `stopped`, or `none` where no such engine runs.
set -eu

started=$1 timeout=$2

lives() {
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && ! grep -qs '^State:.Z' "/proc/$pid/status"
}

pid=$(cat "$started" 2>/dev/null || true)
if [ -z "$pid" ] || ! lives; then
    # It names nobody, and may be another user's: that is no harm
    rm -f "$started" 2>/dev/null || :
    echo none
    exit 0
fi
if ! kill -TERM "$pid" 2>/dev/null && lives; then
    owner=$(stat -c %U "/proc/$pid" 2>/dev/null || echo root)
    echo "dockerd (pid $pid) runs as $owner, and $(id -un) may not stop it: run this as $owner, or sudo kill $pid" >&2
    exit 1
fi
# It stops its containers first: ten seconds each, side by side
turns=$((timeout * 4))
while lives; do
    turns=$((turns - 1))
    if [ "$turns" -le 0 ]; then
        echo "dockerd (pid $pid) did not end within $timeout s of SIGTERM; look at its log, and end it by hand" >&2
        exit 1
    fi
    sleep 0.25
done
rm -f "$started"
echo stopped
