#!/bin/sh
# Says what is missing that this user may not install, before anything is changed. Silent where all is well.
set -u

missing=

need() {
    missing="$missing
  - $1"
}

may_install() {
    { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; } && [ -e /etc/debian_version ]
}

"$(dirname "$0")/find_python.sh" >/dev/null || need "Python 3.11 or later, with venv (Debian: python3 python3-venv)"

if ! may_install; then
    if ! command -v docker >/dev/null; then
        need "Docker Engine 20.10 or later with Compose v2 (https://docs.docker.com/engine/install/)"
    elif ! answer=$(docker version --format '{{.Server.Version}}' 2>&1); then
        case $answer in
        *"permission denied"*) need "the right to talk to the engine: sudo usermod -aG docker $(id -un), then log in again" ;;
        *) need "a running engine: sudo systemctl start docker" ;;
        esac
    elif ! docker compose version >/dev/null 2>&1; then
        need "Docker Compose v2 (package docker-compose-plugin, docker-compose-v2 or docker-compose)"
    fi
fi

if [ -n "$missing" ]; then
    reason="this is not Debian or Ubuntu"
    [ -e /etc/debian_version ] && reason="$(id -un) is not root"
    echo "Missing here, and not installed for you because $reason:$missing" >&2
    echo "Nothing was changed. Install it, or run this as root on Debian or Ubuntu." >&2
    exit 1
fi
