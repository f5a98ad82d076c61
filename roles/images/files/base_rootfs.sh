#!/bin/sh
# Makes a root file system from Debian packages and imports it into the engine.
# Usage: base_rootfs.sh REFERENCE SUITE PACKAGES APT-SOURCES (one-line format)
# The smallest variant: no apt inside. No root is needed: mmdebstrap takes a user namespace where it is not root.
set -eu

reference=$1
suite=$2
packages=$3
sources=$4

work=$(mktemp -d "${TMPDIR:-/tmp}/token-keeper-base.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
printf '%s\n' "$sources" >"$work/sources.list"

# A mirror's address may hold a user and a password, and the root file system keeps the sources: without those, and so does the image.
# Straight into a file, not a pipe: a half-made system must never become an image
mmdebstrap --quiet --variant=essential --include="$packages" \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='find "$1/etc/apt" -type f -exec sed -i "s|://[^/[:space:]]*@|://|g" {} +' \
    "$suite" "$work/root.tar" "$work/sources.list"
docker import --change 'ENV LANG=C.UTF-8' --message "Debian $suite: $packages" "$work/root.tar" "$reference"
