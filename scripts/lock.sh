#!/bin/sh
# Resolves requirements/*.in into *.txt with hashes for Python 3.11 and later.
# No lock may hold an address: a clone is installed from whatever index its user has.
# Existing pins are kept; LOCK_UPGRADE=1 takes the newest releases.
set -eu
cd "$(dirname "$0")/../requirements"
uv=${UV:-../.venv/bin/uv}
upgrade=${LOCK_UPGRADE:+--upgrade}

lock() {
    set_name=$1
    shift
    # shellcheck disable=SC2086 # empty or one flag
    CUSTOM_COMPILE_COMMAND="make lock" "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header $upgrade "$@" \
        "$set_name.in" --output-file "$set_name.txt"
    echo "requirements/$set_name.txt: $(grep -c == "$set_name.txt") packages"
}

lock dev
# Another Ansible than the rest has; all else is the same
others=$(mktemp)
trap 'rm -f "$others"' EXIT
sed -n 's/^\([A-Za-z0-9._-]*==[^ ;]*\).*/\1/p' dev.txt | grep -vE '^(ansible|ansible-core|resolvelib)==' >"$others"
lock previous --constraint "$others"
for name in bench controller images keeper stack sandbox; do
    lock "$name" --constraint dev.txt
done
