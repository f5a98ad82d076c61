#!/bin/sh
# Starts dockerd in a process session of its own and waits until it answers.
# Usage: start_engine.sh PID-FILE EXEC-ROOT LOG STARTED-FILE TIMEOUT SOCKET [DOCKERD-ARGUMENT...]
# Says `started` where it did, `running` where one was on its way already. Copes with what a killed engine left.
set -eu

pid_file=$1 exec_root=$2 log=$3 started=$4 timeout=$5 socket=$6
shift 6
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# is_alive PID NAME: whether the process lives, is no zombie, and runs that program
is_alive() {
    [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && ! grep -qs '^State:.Z' "/proc/$1/status"
}

# forget FILE NAME: removes a pid file that names no living NAME, since the engine believes any living process
forget() {
    if [ -e "$1" ] && ! is_alive "$(cat "$1" 2>/dev/null)" "$2"; then
        rm -f "$1"
    fi
}

answers() {
    docker --host "unix://$socket" version >/dev/null 2>&1
}

forget "$pid_file" dockerd
forget "$exec_root/containerd/containerd.pid" containerd
# The engine takes this socket for a containerd of the system's, even with nobody behind it
if [ -S /run/containerd/containerd.sock ] && ! grep -qsx containerd /proc/[0-9]*/comm; then
    rm -f /run/containerd/containerd.sock
fi

word=running
if [ ! -e "$pid_file" ]; then
    mkdir -p "$(dirname "$log")" "$(dirname "$pid_file")" "$(dirname "$socket")" "$(dirname "$started")"
    setsid --fork dockerd --host "unix://$socket" --pidfile "$pid_file" --exec-root "$exec_root" "$@" \
        </dev/null >>"$log" 2>&1
    word=started
fi

# A quarter of a second a turn; the engine writes its pid file first thing, and takes it away when it gives up
turns=$((timeout * 4))
while ! answers; do
    turns=$((turns - 1))
    if [ "$turns" -le 0 ]; then
        echo "dockerd did not answer on $socket within $timeout s. The end of $log:" >&2
        tail -n 15 "$log" >&2
        exit 1
    fi
    if [ "$turns" -le $((timeout * 4 - 12)) ] && ! is_alive "$(cat "$pid_file" 2>/dev/null)" dockerd; then
        echo "dockerd ended at once. The end of $log:" >&2
        tail -n 15 "$log" >&2
        exit 1
    fi
    sleep 0.25
done
if [ "$word" = started ]; then
    cp "$pid_file" "$started"
fi
echo "$word"
