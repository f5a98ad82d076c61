#!/bin/sh
# Provides the programs that the tests run and pip does not bring: installed as root on Debian or Ubuntu, else named before
# anything is changed.
set -eu
cd "$(dirname "$0")/.."
packages= what=

wanted() { # PACKAGE PURPOSE
    packages="$packages $1"
    what="$what
  - $1, $2"
}

find_missing() {
    packages= what=
    command -v strace >/dev/null || wanted strace "with which the tests in tests/faults stop a process at a chosen system call"
    command -v jq >/dev/null || wanted jq "with which a shell script in samples reads the token"
    command -v openssl >/dev/null || wanted openssl "with which the tests of a registry make its certificate"
    command -v curl >/dev/null || wanted curl "with which it calls an API"
    command -v node >/dev/null || wanted nodejs "with which another one does the same"
    command -v systemd-analyze >/dev/null || wanted systemd "with which the tests have the units of a timer judged"
    (cd bench && ../.venv/bin/python -c 'import redis_server, sys; sys.exit(redis_server.program() is None)') ||
        wanted redis-server "which the tests of the reference stack run"
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        wanted chromium "in which the tests of consent look at its pages"
}

find_missing
[ -n "$packages" ] || exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    sudo -n true 2>/dev/null || as_root=
fi
if [ -e /etc/debian_version ] && { [ "$(id -u)" -eq 0 ] || [ -n "$as_root" ]; }; then
    printf '\033[1m==>\033[0m Installing%s, which the tests need\n' "$packages"
    $as_root apt-get update -qq || :
    # shellcheck disable=SC2086 # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null || :
    find_missing
    [ -n "$packages" ] || exit 0
    reason="apt-get could not install it"
elif [ -e /etc/debian_version ]; then
    reason="$(id -un) is not root"
else
    reason="this is not Debian or Ubuntu"
fi
echo "Missing here, and not installed for you because $reason:$what" >&2
echo "Install it (package$packages), or run this as root on Debian or Ubuntu." >&2
exit 1
