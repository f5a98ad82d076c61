# Finishes what an installation that was cut short has left of packages: apt does nothing before. One that is still under way is waited for.
# $1: seconds. Prints what it did; nothing where there was nothing to do.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
command -v dpkg >/dev/null || exit 0
until [ -z "$(dpkg --audit)$(ls -A /var/lib/dpkg/updates)" ]; do
    if said=$(dpkg --configure --pending --force-confdef --force-confold 2>&1); then
        echo "${said:-dpkg --configure --pending}"
        break
    fi
    case $said in
    *'locked by another process'*)
        if [ "$1" -le 0 ]; then
            echo "$said" >&2
            exit 1
        fi
        set -- $(($1 - 1))
        sleep 1
        ;;
    *)
        # One of them is not even unpacked, or what it depends on isn't
        echo "$said"
        break
        ;;
    esac
done
if [ -n "$(dpkg --audit)" ]; then
    # Where it would take somebody's package away, that is for a person to decide
    apt-get --option DPkg::Lock::Timeout="$1" --option Dpkg::Options::=--force-confdef --option Dpkg::Options::=--force-confold \
        --fix-broken --yes --no-remove --no-install-recommends install
fi
