#!/bin/sh
# All Molecule scenarios. Those of day two share one deployment, which goes when the last of them has ended, well or not.
set -eu
cd "$(dirname "$0")/.."
molecule test -s default

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
molecule test --all --exclude default --destroy=never
