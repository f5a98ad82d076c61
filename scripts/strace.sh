#!/bin/sh
# Provides strace, with which the tests kill a process at a chosen system call: installed as root on Debian or Ubuntu,
# else named before anything is changed.
set -eu
command -v strace >/dev/null && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    sudo -n true 2>/dev/null || as_root=
fi
if [ -e /etc/debian_version ] && { [ "$(id -u)" -eq 0 ] || [ -n "$as_root" ]; }; then
    printf '\033[1m==>\033[0m Installing strace, which the tests of faults need\n'
    $as_root apt-get update -qq || :
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends strace >/dev/null &&
        command -v strace >/dev/null && exit 0
    reason="apt-get could not install it"
elif [ -e /etc/debian_version ]; then
    reason="$(id -un) is not root"
else
    reason="this is not Debian or Ubuntu"
fi
echo "Missing here, and not installed for you because $reason:
  - strace, which the tests in tests/faults need" >&2
echo "Install it (package strace), or run this as root on Debian or Ubuntu." >&2
exit 1
