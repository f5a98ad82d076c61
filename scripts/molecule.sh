#!/bin/sh
# All Molecule scenarios. Two have their own; those of day two share one deployment, which goes when the last of them has ended, well or not.
set -eu
cd "$(dirname "$0")/.."
molecule test -s default
molecule test -s migrate_bind_mount

# Where Molecule keeps what it knows of a deployment: one folder for all of them, and a new one each time
MOLECULE_EPHEMERAL_DIRECTORY=$(mktemp -d)
export MOLECULE_EPHEMERAL_DIRECTORY
leave() {
    status=$?
    trap - EXIT
    molecule destroy -s verify || status=1
    rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
molecule test --all --exclude default --exclude migrate_bind_mount --destroy=never
