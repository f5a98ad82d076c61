#!/bin/sh
# Makes .venv from a hashed lock, or completes it. Usage: environment.sh controller|dev|bench|previous
# What the benchmarks compare with stays apart, in .venv/bench, and so does the earlier Ansible, in .venv/previous: no other
# environment has to agree with them.
set -eu
cd "$(dirname "$0")/.."
set_name=$1
venv=.venv
case $set_name in
    bench | previous) venv=.venv/$set_name ;;
esac

say() {
    printf '\033[1m==>\033[0m %s\n' "$1"
}

if ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(scripts/find_python.sh)
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        # Debian packs it apart, once for each version
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        say "Installing $package, which Debian keeps apart from Python"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$package" >/dev/null
    fi
    say "Making $venv with $("$python" --version)"
    rm -rf $venv
    "$python" -m venv $venv
fi

say "Installing requirements/$set_name.txt ($(grep -c == "requirements/$set_name.txt") packages, by their hashes)"
$venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --no-compile \
    --require-hashes --requirement "requirements/$set_name.txt"

# The package itself, as it stands in the checkout
site=$($venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD/src" >"$site/token_keeper_checkout.pth"

# What ansible-playbook loads at each start, and in part again in each task: where Python may not keep what it has compiled
# (PYTHONDONTWRITEBYTECODE), a quarter of a playbook's time would go into that. Of the collections few files are loaded; they stay out.
if [ -d "$site/ansible" ]; then
    for package in ansible jinja2 yaml markupsafe packaging cryptography; do
        $venv/bin/python -m compileall -q -j 0 "$site/$package"
    done
fi
touch "$venv/.$set_name.stamp"
# The larger set holds the smaller
[ "$set_name" != dev ] || touch .venv/.controller.stamp
