"""A signed apt repository on a test host: packages are called as Docker's own, and hold Debian's engine, which runs."""

from __future__ import annotations

from dataclasses import dataclass

from hosts import Hosts

PORT = 8000

# The tools, the key, and a server of what is there
_BEGIN = r"""
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends apt-utils gpg gpg-agent >/dev/null
mkdir -p /srv/docker /var/tmp/repository
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key 'Test of packages' ed25519 sign
gpg --armor --export >/srv/docker/gpg
systemd-run --quiet --unit=repository python3 -m http.server --directory /srv/docker "$1"
gpg --batch --with-colons --fingerprint | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1
"""

# Takes Debian's packages apart and puts them together as Docker does, runc with containerd. Arguments: SUITE, REVISION.
# All but runc run on Debian 12 as they do on Debian 13. Nothing is compressed: that would take minutes.
_PUBLISH = r"""
suite=$1 revision=$2
work=/var/tmp/repository pool=/srv/docker/pool architecture=$(dpkg --print-architecture)
fetch() {
    from=$1; shift
    [ ! -e "$work/$from" ] || return 0
    mkdir -p "$work/$from" "$work/lists-$from/partial"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed "s/trixie/$from/g" >"$work/$from.list"
    cd "$work/$from"
    for verb in update "download $*"; do
        apt-get -qq -o Dir::Etc::sourcelist="$work/$from.list" -o Dir::Etc::sourceparts=/nonexistent \
            -o Dir::State::lists="$work/lists-$from" -o APT::Sandbox::User=root $verb
    done
}
pack() {
    folder=$pool/$1 name=$2 version=$3 needs=$4 excludes=$5 tree=$work/tree-$1-$2; shift 5
    [ ! -e "$folder/${name}_$version-${revision}_$architecture.deb" ] || return 0
    if [ ! -e "$tree" ]; then
        dpkg-deb --raw-extract "$1" "$tree"; shift
        for other; do dpkg-deb --extract "$other" "$tree"; done
        rm -f "$tree/DEBIAN/md5sums"
    fi
    printf '%s: %s\n' Package "$name" Version "5:$version-$revision" Architecture "$architecture" \
        Maintainer 'Tests <tests@example.com>' Depends "$needs" Conflicts "$excludes" Replaces "$excludes" \
        Description 'Debian'"'"'s, under the name that Docker gives it' | grep -v ': $' >"$tree/DEBIAN/control"
    mkdir -p "$folder"
    dpkg-deb --root-owner-group -Znone --build "$tree" "$folder" >/dev/null
}
fetch trixie docker.io docker-cli containerd docker-compose docker-buildx runc
fetch "$suite" runc
debs=$work/trixie
pack all docker-ce 26.1.5 'containerd.io, docker-ce-cli, iptables, adduser, libsystemd0' docker.io "$debs"/docker.io_*
pack all docker-ce-cli 26.1.5 libc6 docker-cli "$debs"/docker-cli_*
pack "$suite" containerd.io 1.7.24 'libc6, libseccomp2' 'containerd, runc' "$debs"/containerd_* "$work/$suite"/runc_*
pack all docker-compose-plugin 2.26.1 libc6 '' "$debs"/docker-compose_*
pack all docker-buildx-plugin 0.13.1 libc6 '' "$debs"/docker-buildx_*
cd /srv/docker
lists=dists/$suite/stable/binary-$architecture
mkdir -p "$lists"
{ apt-ftparchive packages pool/all; apt-ftparchive packages "pool/$suite"; } >"$lists/Packages"
rm -f "dists/$suite/InRelease"
apt-ftparchive -o APT::FTPArchive::Release::Suite="$suite" -o APT::FTPArchive::Release::Codename="$suite" \
    -o APT::FTPArchive::Release::Components=stable release "dists/$suite" >"$work/Release"
gpg --batch --yes --quiet --clearsign --output "dists/$suite/InRelease" "$work/Release"
"""


@dataclass(frozen=True)
class Repository:
    """A repository on a host: its address, and the fingerprint of its key."""

    hosts: Hosts
    host: str
    url: str
    fingerprint: str

    def publish(self, suite: str, revision: int = 1) -> None:
        """Have it offer the packages of a suite, in a version that ends in this revision."""
        self.hosts.inside(self.host, f"set -- {suite} {revision}\n{_PUBLISH}", timeout=600)


def docker_repository(made: Hosts, host: str) -> Repository:
    """Make a repository on a host of Debian 13, which serves it on the hosts' network."""
    fingerprint = made.inside(host, f"set -- {PORT}\n{_BEGIN}", timeout=600).split()[-1]
    address = made.inside(host, "hostname -I").split()[0]
    return Repository(made, host, f"http://{address}:{PORT}", fingerprint)
