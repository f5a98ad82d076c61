"""What the tests of interrupted runs share: runs that are killed, what a host has, and a host made as good as new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployment import PLAYBOOK, ROOT, Run, eventually
from hosts import Hosts, controller

_LOOKS_AT_NOTHING = frozenset(
    {
        "assert",
        "debug",
        "fail",
        "include_role",
        "include_tasks",
        "import_role",
        "meta",
        "set_fact",
        "validate_argument_spec",
        "known_variables",
    }
)
"""Actions that neither reach the host nor change anything: a run that was killed before one of them was killed as well
before the next one that does."""


@dataclass(frozen=True)
class Place:
    """Where a run is killed: at a task, by its number, so many seconds after its start."""

    number: int
    name: str
    delay: float = 0.0

    def __str__(self) -> str:
        """Say it for a person."""
        return f"task {self.number}, {self.name}" + (f", after {self.delay:.1f} s" if self.delay else "")


def callback(
    at: str = "", delay: float = 0.0, play: str = "", record: Path | None = None, file: Path | None = None
) -> dict[str, str]:
    """Return the variables that have ansible-playbook killed at a task or with a file, or its tasks written down."""
    named = {name: str(path) for name, path in (("KILL_RECORD", record), ("KILL_FILE", file)) if path}
    return {
        "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "KILL_AT": at,
        "KILL_DELAY": str(delay),
        "KILL_PLAY": play,
        **named,
    }


def killed_run(command: Sequence[str], environment: Mapping[str, str], timeout: float = 900) -> bool:
    """Run a playbook that is to be killed, in a process group of its own; returns whether it came so far."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        output, _ = process.communicate(timeout=timeout)
    assert process.returncode in (0, -signal.SIGKILL), output.decode()
    return process.returncode != 0


def cut(made: Hosts, playbook: str, place: Place, *arguments: str) -> bool:
    """Run a playbook on the hosts and kill it there; returns whether it came so far."""
    command = [PLAYBOOK, "-i", str(made.inventory), playbook, *arguments]
    return killed_run(command, controller(made.folder, **callback(str(place.number), place.delay)))


def cut_when(made: Hosts, playbook: str, condition: Callable[[], Any], every: float = 0.02) -> bool:
    """Run a playbook on the hosts and kill it as soon as a condition holds; returns whether that came to pass.

    The condition is asked each so many seconds.
    """
    file = made.folder / "kill"
    file.unlink(missing_ok=True)
    command = [PLAYBOOK, "-i", str(made.inventory), playbook]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            if condition():
                file.touch()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return killed_run(command, controller(made.folder, **callback(file=file)))
    finally:
        ended.set()
        watcher.join()


def places(made: Hosts, playbook: str, *arguments: str) -> tuple[list[Place], Run]:
    """Run a playbook to its end, and return the places at which it can be cut short to some effect.

    That is at the start of each task that looks at the host or changes it, and in the middle of each that changed it.
    """
    record = made.folder / "record.jsonl"
    record.unlink(missing_ok=True)
    done = made.playbook(playbook, *arguments, timeout=900, **callback(record=record)).succeeded()
    found = []
    for task in map(json.loads, record.read_text().splitlines()):
        if not task["ran"] or task["action"].rpartition(".")[2] in _LOOKS_AT_NOTHING:
            continue
        found.append(Place(task["number"], task["name"]))
        if task["changed"] or task["seconds"] > 4:  # what takes long moves much, whatever it calls a change
            found.append(Place(task["number"], task["name"], round(task["seconds"] / 2, 1)))
    return found, done


def sample(of: Sequence[Place], number: int) -> list[Place]:
    """Return so many of the places, spread over the whole run and the same ones each time; all with SOAK=1."""
    if os.environ.get("SOAK") == "1" or len(of) <= number:
        return list(of)
    step = len(of) / number
    return [of[int((each + 0.5) * step)] for each in range(number)]


_PICTURE = """
docker ps --all --format 'container {{.Names}} {{.State}}' | sort
docker volume ls --format 'volume {{.Name}}' | sort
docker network ls --format 'network {{.Name}}' | sort
find /var/tmp /tmp -maxdepth 1 -name 'token-keeper*' | sed 's/^/left behind /'
find ~deploy/.ansible/tmp ~root/.ansible/tmp -type f -size +1M 2>/dev/null | sed 's/^/left behind /'
find /opt/token-keeper 2>/dev/null | sort | sed 's/^/file /'
for volume in $(docker volume ls --quiet --filter name=token); do
    at=$(docker volume inspect --format '{{.Mountpoint}}' "$volume")
    find "$at" -printf 'in volume %P %m %U:%G\\n' | sed -E 's/[0-9a-f]{8,}/*/g' | sort -u
done
ps -eo args | grep -E '[A]nsiballZ|[d]ocker (load|compose|run) ' | sed 's/^/still runs /' || :
"""


def picture(made: Hosts, host: str) -> list[str]:
    """Return what a host has of a deployment, a line for each thing; what must not be there as well."""
    lines = made.inside(host, _PICTURE).splitlines()
    here = [str(path) for place in ("/tmp", "/var/tmp") for path in Path(place).glob("token-keeper-archive.*")]
    return lines + [f"left behind on the controller {path}" for path in here if _is_ours(Path(path), made)]


def _is_ours(path: Path, made: Hosts) -> bool:
    """Tell whether a folder is of these tests: others may be making images at this moment."""
    try:
        return path.stat().st_mtime > (made.folder / "key").stat().st_mtime
    except OSError:
        return False


_NEW = """
docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes
docker volume ls --quiet | xargs --no-run-if-empty docker volume rm
docker network prune --force
rm -rf /opt/token-keeper ~deploy/.ansible ~root/.ansible /var/tmp/token-keeper* /tmp/token-keeper*
"""


def as_new(made: Hosts, host: str) -> None:
    """Take from a host all but its engine and its images; waits for what a killed run still does there."""
    settled(made, host)
    made.inside(host, _NEW)


def settled(made: Hosts, host: str, within: float = 120) -> float:
    """Wait until nothing that a killed run began runs there any more; returns the seconds that took."""
    begun = time.monotonic()
    look = "ps -eo args | grep -cE '[A]nsiballZ|[a]pt-get|[d]pkg |[d]ocker (load|compose|run) ' || :"
    eventually(lambda: made.inside(host, look).strip() == "0", within=within, what=f"{host} is at rest")
    return time.monotonic() - begun


def ready(made: Hosts, host: str, port: int = 8080) -> bool:
    """Tell whether the application there is ready."""
    script = (
        "import urllib.request as r, sys\n"
        f"try: print(r.urlopen('http://127.0.0.1:{port}/api/v1/health/ready', timeout=5).status)\n"
        "except Exception as error: print(error)"
    )
    return made.inside(host, f'python3 -c "{script}"').strip() == "200"


def status(made: Hosts, host: str) -> dict[str, Any]:
    """Return what the store says of the volume."""
    asked = f"docker exec {made.prefix}-api-1 token-keeper status --json"
    found: dict[str, Any] = json.loads(made.inside(host, asked))
    return found


@dataclass
class Sweep:
    """A playbook that is killed at place after place, and what came of each."""

    made: Hosts
    host: str
    playbook: str
    expected: list[str]
    """The picture of a host on which nothing was cut short."""
    arguments: Sequence[str] = ()
    log: Path | None = None
    failures: list[str] = field(default_factory=list)
    done: int = 0

    def at(self, place: Place) -> None:
        """Kill it there, run it again at once, and once more; notes what is not as it should be."""
        begun = time.monotonic()
        came = cut(self.made, self.playbook, place, *self.arguments)
        problems = [] if came else ["it was not killed"]
        again = self.made.playbook(self.playbook, *self.arguments, timeout=900)
        if again.code != 0:
            problems.append(f"the next run failed: {again.text[again.text.find('fatal:') :][:1500]}")
        else:
            problems.extend(self.wrong())
        third = self.made.playbook(self.playbook, *self.arguments, timeout=900)
        if third.code != 0 or third.changed:
            problems.append(f"the third run: exit code {third.code}, changed {third.changed}: {_changes(third)}")
        self.done += 1
        if problems:
            self.failures.append(f"{place}: {'; '.join(problems)}")
        ended = "FAILED" if problems else "passed"
        self._told(f"{ended} {place}: {time.monotonic() - begun:.0f} s {'; '.join(problems)}".rstrip())

    def wrong(self) -> list[str]:
        """Compare the host with one on which nothing was cut short."""
        now = picture(self.made, self.host)
        more = [f"there is {line}" for line in now if line not in self.expected]
        return more + [f"there is no {line}" for line in self.expected if line not in now]

    def _told(self, line: str) -> None:
        print(line, flush=True)
        if self.log:
            with self.log.open("a") as file:
                file.write(line + "\n")


def _changes(run: Run) -> str:
    at = run.output.find("changed: [")
    return run.output[max(0, at - 300) : at + 300] if at >= 0 else ""
