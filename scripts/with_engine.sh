#!/bin/sh
# Runs a command with a Docker Engine. Where none answers it is provided through playbooks/docker_host.yml, and stopped
# again when the command ends. Usage: with_engine.sh COMMAND [ARGUMENT...]
set -eu
cd "$(dirname "$0")/.."

if docker version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    exec "$@"
fi

stop() {
    status=$?
    trap - EXIT
    ansible-playbook playbooks/engine_stop.yml || status=1
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ansible-playbook playbooks/docker_host.yml
"$@"
