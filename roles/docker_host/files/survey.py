"""Looks at what an installation would meet on Debian or Ubuntu, and says it as JSON. Changes nothing but the lists.

The one argument is JSON: ``packages`` (names to look for), ``room`` (paths that will be written to), ``need_mib``
(space that each of them has to have), ``daemon_file`` (whose data-root is one more of them), ``address`` (a repository
that apt's sources may name already), ``lists`` (``none``; ``own``: the host's lists are fetched anew; ``aside``: into a
folder that goes again, for a run that changes nothing), ``repository`` (null, or ``uri``, ``suite``, ``component`` and
``key`` of one that is not the host's yet: its lists alone are fetched, aside).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from typing import Any

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
UNITS = ("docker.service", "docker.socket", "containerd.service")
OURS = "/token-keeper-docker.sources"
_FLOCK = "hhqqi"
_OFF = re.compile(r"^Enabled:\s*(no|false|without|off|disable|0)\s*$", re.IGNORECASE | re.MULTILINE)
PATIENCE = {False: 300, True: 60}
"""Seconds that fetching the host's lists, and others aside, may take."""
_QUICKLY = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15")


def told(*command: str, within: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with messages in English; one that is not there, or takes longer in seconds, has failed."""
    # The system's own commands: apt runs some as a user who may not get at what else is named there
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C", "LANGUAGE": "C"}
    try:
        return subprocess.run(  # noqa: S603 - the commands of this file
            command, capture_output=True, text=True, errors="replace", env=environment, check=False, timeout=within
        )
    except subprocess.TimeoutExpired:
        said = f"E: {command[0]} did not end within {within:.0f} seconds: some mirror does not answer\n"
        return subprocess.CompletedProcess(command, 124, "", said)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def holder(paths: tuple[str, ...] = LOCKS) -> str:
    """Return who holds one of apt's locks, as ``NAME (process PID)``; empty where nobody does."""
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                return f"{_name(pid)} (process {pid})"
    return ""


def _name(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
        words = [os.path.basename(word) for word in file.read().split("\0")[:2] if word and not word.startswith("-")]
        if words:  # of a script its own name
            interpreted = len(words) > 1 and re.match(r"(python|perl|sh$|bash$|dash$)", words[0])
            return words[1] if interpreted else words[0]
    return "a process"


def masked(units: tuple[str, ...] = UNITS) -> list[str]:
    """Return which of the units somebody has masked, so that systemd starts none of them."""
    if not os.path.isdir("/run/systemd/system"):
        return []
    return [unit for unit in units if told("systemctl", "is-enabled", unit).stdout.strip().startswith("masked")]


def free(paths: list[str]) -> list[dict[str, Any]]:
    """Return the free space for each path, in MiB; one that is not there yet lies where it will be made."""
    found: dict[int, dict[str, Any]] = {}
    for path in paths:
        there = os.path.abspath(path)
        while not os.path.exists(there):
            there = os.path.dirname(there)
        space = os.statvfs(there)
        entry = {"path": path, "mib": space.f_bavail * space.f_frsize // 2**20}
        found.setdefault(os.stat(there).st_dev, entry)  # once a file system
    return list(found.values())


def daemon_options(file: str) -> dict[str, Any]:
    """Return what daemon.json says; nothing where it can't be read."""
    with contextlib.suppress(OSError, ValueError), open(file, encoding="utf-8") as opened:
        found = json.load(opened)
        return found if isinstance(found, dict) else {}
    return {}


def keeps_containers(options: dict[str, Any], processes: str = "/proc") -> bool:
    """Return whether an engine that is started now, as this one was, finds its containers again (live-restore).

    What the running engine says isn't it: its file may have changed since, and one that is started without stops them.
    """
    if "live-restore" in options:
        return bool(options["live-restore"])
    for process in os.listdir(processes):
        with contextlib.suppress(OSError), open(f"{processes}/{process}/cmdline", "rb") as file:
            program, *words = file.read().split(b"\0")
            if os.path.basename(program) == b"dockerd" and {b"--live-restore", b"--live-restore=true"} & set(words):
                return True
    return False


def aside(folder: str, repository: dict[str, str] | None) -> list[str]:
    """Return apt's options that keep its lists in a folder, and there with one repository alone where that is given."""
    for part in ("lists/partial", "cache/archives/partial", "none"):
        os.makedirs(os.path.join(folder, part), exist_ok=True)
    os.chmod(folder, 0o755)  # noqa: S103 - apt fetches as a user of its own; lists are no secret
    options = {"Dir::State::lists": f"{folder}/lists", "Dir::Cache": f"{folder}/cache"}
    if repository:
        key, source = f"{folder}/key.asc", f"{folder}/docker.sources"
        with open(key, "w", encoding="utf-8") as file:
            file.write(repository["key"])
        lines = {
            "Types": "deb",
            "URIs": repository["uri"],
            "Suites": repository["suite"],
            "Components": repository["component"],
            "Signed-By": key,
        }
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(f"{name}: {value}\n" for name, value in lines.items())
        options |= {"Dir::Etc::sourcelist": source, "Dir::Etc::sourceparts": f"{folder}/none"}
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def faults(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what apt complained of when it fetched lists, a sentence each."""
    lines = [line for line in ended.stderr.splitlines() if line.startswith(("E: ", "W: "))]
    dull = ("unsandboxed", "Some index files failed", "stored in legacy", "policy will reject", "key is stored")
    return [line[3:] for line in lines if not any(word in line for word in dull)]


def without_password(address: str) -> str:
    """Return an address without who goes there: what is told here is shown with ``-v``."""
    return re.sub(r"//[^/\s]*@", "//…@", address)


def policies(text: str) -> dict[str, dict[str, Any]]:
    """Read ``apt-cache policy``: by package what is installed, what would be, and the addresses that offer it."""
    found: dict[str, dict[str, Any]] = {}
    package, version = "", ""
    for line in text.splitlines():
        if match := re.match(r"(\S+):$", line):
            package = match[1]
            found[package] = {"installed": "", "candidate": "", "origins": []}
        elif match := re.match(r"  (Installed|Candidate): (\S+)", line):
            found[package][match[1].lower()] = "" if match[2] == "(none)" else match[2]
        elif match := re.match(r" (?:\*\*\*|   ) (\S+) -?\d+$", line):
            version = match[1]
        elif (match := re.match(r" +-?\d+ (\w+:\S+) ", line)) and version == found[package]["candidate"]:
            found[package]["origins"].append(match[1])
    return found


def offered(packages: list[str], options: list[str]) -> dict[str, dict[str, Any]]:
    """Return the policies of packages, with ``newer`` where the candidate is newer than what is installed."""
    found = policies(told("apt-cache", *options, "policy", *packages).stdout)
    for each in found.values():
        versions = each["candidate"], each["installed"]
        each["newer"] = (
            all(versions) and told("dpkg", "--compare-versions", versions[0], "gt", versions[1]).returncode == 0
        )
    installed = told(
        "dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages
    ).stdout.splitlines()
    for name in packages:  # apt knows one whose configuration alone is left, too
        if name in found and f"{name} installed" not in installed:
            found[name]["installed"], found[name]["newer"] = "", False
    return found


def naming(uri: str, folder: str = "/etc/apt") -> list[str]:
    """Return the files of apt's sources that name a repository already, but for the one that the role writes."""
    found = []
    parts = os.path.join(folder, "sources.list.d")
    files = [os.path.join(parts, name) for name in sorted(os.listdir(parts))] if os.path.isdir(parts) else []
    for path in (os.path.join(folder, "sources.list"), *files):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            text = "".join(line for line in file if not line.lstrip().startswith("#"))
            words = [
                word.rstrip("/")
                for stanza in re.split(r"\n\s*\n", text)
                if not _OFF.search(stanza)
                for word in stanza.split()
            ]
            if path.endswith((".list", ".sources")) and not path.endswith(OURS) and uri.rstrip("/") in words:
                found.append(path)
    return found


def survey(wanted: dict[str, Any]) -> dict[str, Any]:
    """Look at everything; stop early where the rest could not help."""
    daemon = daemon_options(wanted["daemon_file"])
    root = str(daemon.get("data-root") or "")
    result: dict[str, Any] = {
        "locked": "" if wanted["lists"] == "none" else holder(),
        "masked": masked(),
        "free": free([*wanted["room"], *([root] if root else [])]),
        "architecture": told("dpkg", "--print-architecture").stdout.strip(),
        "configured": naming(wanted["address"]) if wanted.get("address") else [],
        "live_restore": keeps_containers(daemon),
        "faults": [],
        "packages": {},
        "mirrors": [],
        "proxy": "",
    }
    short = any(each["mib"] < int(wanted["need_mib"]) for each in result["free"])
    if wanted["lists"] == "none":
        return {**result, "packages": offered(wanted["packages"], [])}
    if result["locked"] or result["masked"] or short:
        return result
    folder = tempfile.mkdtemp(prefix="token-keeper-lists.")
    try:
        repository = wanted.get("repository")
        options = aside(folder, repository) if repository or wanted["lists"] == "aside" else []
        # What came in time is used; a mirror that nothing here comes from may stay silent
        ended = told("apt-get", *_QUICKLY, *options, "update", within=PATIENCE[bool(options)])
        result["faults"] = faults(ended)
        result["packages"] = offered(wanted["packages"], options)
        form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
        targets = told("apt-get", *options, "indextargets", "--format", form, "Created-By: Packages").stdout
        result["mirrors"] = sorted({without_password(line.split()[0]) for line in targets.splitlines() if line.strip()})
        proxy = told("apt-config", "shell", "PROXY", "Acquire::http::Proxy").stdout
        proxy = proxy.partition("=")[2].strip().strip("'") or os.environ.get("http_proxy", "")
        result["proxy"] = without_password(proxy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


if __name__ == "__main__":
    print(json.dumps(survey(json.loads(sys.argv[1]))))  # noqa: T201 - it is its answer
