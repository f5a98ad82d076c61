"""What is added to an application that somebody else has written: a Compose override file, and nothing of theirs.

Pure functions: what ``app_services_info`` has found and what the operator wishes go in, the override comes out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import yaml

TOKEN: Final = "token-keeper-token"  # noqa: S105 - the name of a volume
EGRESS: Final = "token-keeper-egress"
SECRETS_LABEL: Final = "io.token-keeper.secrets"

MEASURES: Final[Mapping[str, Mapping[str, Any]]] = {
    "no_new_privileges": {"security_opt": ["no-new-privileges:true"]},
    "cap_drop": {"cap_drop": ["ALL"]},
    "read_only": {"read_only": True},
    "tmp": {"tmpfs": ["/tmp:mode=1777,size=64m"]},  # noqa: S108 - a folder in a container, of its own
    "init": {"init": True},
    "pids_limit": {"pids_limit": 256},
}
"""What hardening can be asked for, by name."""

_DONE: Final = "Exited (0)"

Found = Mapping[str, Any]


class Instead(list[Any]):
    """A list that takes the place of the application's own, where Compose would otherwise add to it."""


class _Dumper(yaml.SafeDumper):
    """Writes an override, with Compose's own tag for what takes the place of something."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: a person may read it."""
        return True


_Dumper.add_representer(Instead, lambda dumper, data: dumper.represent_sequence("!override", list(data)))


def override(found: Found, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the override that gives an application its token, the keeper and what else is wished.

    Compose merges it into the application's own files: a mount takes the place of one at the same path, variables and
    labels are added, and all else stays as it is.

    Arguments:
        found: what ``app_services_info`` returned.
        wishes:
            ``volume``, ``network``: names of the token volume and of the network to the provider.
            ``environment``: variables for those that get the token; ``users``: users by service.
            ``hardening``: measures by service, ``*`` for all that get the token.
            ``attach``: whether those that get the token join the network too.
            ``keeper``: the keeper's service by its name, or nothing.
            ``secrets``: as :func:`revised` returns them.
    """
    secrets = wishes["secrets"]
    services = {}
    for name in [*found["consumers"], *(name for name in secrets if name not in found["consumers"])]:
        services[name] = _service(name, found, wishes)
    volumes = {TOKEN: {"name": wishes["volume"], "external": True}}
    volumes |= {one["key"]: {"name": one["volume"], "external": True} for one in secrets.values()}
    networks = {EGRESS: {"name": wishes["network"], "external": True}}
    used = bool(wishes["keeper"]) or wishes["attach"]
    return {
        "services": {**{name: service for name, service in services.items() if service}, **wishes["keeper"]},
        "volumes": volumes,
        **({"networks": networks} if used else {}),
    }


def text(wanted: Mapping[str, Any], head: str) -> str:
    """Return an override as the text of its file.

    A ``$`` is doubled everywhere: Compose would put a variable in its place.
    """
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return comment + yaml.dump(_doubled(wanted), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def definition(services: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Compose file's content for services as the operator has written them; a ``$`` stays one."""
    found: dict[str, Any] = _doubled({"services": services})
    return found


def problems(found: Found, wishes: Mapping[str, Any]) -> list[str]:
    """Say what of the operator's wishes (keeper, hardening, secrets) can't be had, a sentence each."""
    sentences = []
    for name in wishes["keeper"]:
        if name in found["all_services"]:
            sentences.append(
                f"the application has a service {name} of its own: name the keeper's in app_stack_keeper_service"
            )
    for name, ports in found.get("published", {}).items():
        if wishes["keeper"] and any(_meets(port, wishes["keeper_address"]) for port in ports):
            sentences.append(
                f"{name} publishes port {wishes['keeper_address']['port']} of the host, which the keeper would too: "
                "give the keeper another one by app_stack_keeper_port"
            )
    for name, measures in wishes["hardening"].items():
        unknown = [str(measure) for measure in measures if measure not in MEASURES]
        if unknown:
            sentences.append(f"app_stack_hardening has {', '.join(unknown)}, which is none of {', '.join(MEASURES)}")
        if name not in ("*", *found["consumers"]):
            sentences.append(
                f"app_stack_hardening names {name}, which does not get the token ({', '.join(found['consumers'])} do)"
            )
    for name, given in wishes["given"].items():
        if not _names_services(given):
            sentences.append(f"app_stack_secrets: {name} names no list of services: {{value: ..., services: [web]}}")
    for name, one in wishes["secrets"].items():
        theirs = found["services"].get(name, {})
        if (theirs.get("secrets") and one["target"] == "/run/secrets") or _mounts_in(
            theirs, posixpath.normpath(one["target"])
        ):
            sentences.append(
                f"{name} has secrets of its own in {one['target']}: put the kit's elsewhere with app_stack_secrets_path"
            )
    return sentences


def _mounts_in(theirs: Mapping[str, Any], folder: str, *, beneath: bool = True) -> bool:
    """Tell whether a service mounts something at a folder, or beneath it, where a read-only volume has no room."""
    memory = [entry.partition(":")[0] for entry in theirs.get("tmpfs", [])]
    targets = [*(str(mount["target"]) for mount in theirs.get("volumes", [])), *memory]
    places = [posixpath.normpath(target) for target in targets]
    return folder in places or (beneath and any(place.startswith(f"{folder}/") for place in places))


def _meets(port: Mapping[str, str], keeper: Mapping[str, Any]) -> bool:
    """Tell whether what a service publishes, a port or a range such as 9400-9405, is the keeper's too."""
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - addresses that are compared, and none that is bound to
    same = port["address"] == keeper["bind"] or port["address"] in everywhere or keeper["bind"] in everywhere
    first, _, last = port["port"].partition("-")
    return same and int(first) <= int(keeper["port"]) <= int(last or first)


def expected(found: Found, keeper: str) -> list[dict[str, Any]]:
    """Return who has to use the token, as role ``refresh_health`` expects it: each container by what is read in it."""
    consumers = [
        {"service": name, "containers": found["services"][name]["containers"], "processes": 0}
        for name in found["consumers"]
        if found["services"][name]["containers"]
    ]
    return consumers + ([{"service": keeper, "containers": 1, "processes": 1}] if keeper else [])


def done(found: Found, members: Sequence[Sequence[str]]) -> list[str]:
    """Return the jobs of an application that have ended well in all their containers.

    Arguments:
        found: what ``app_services_info`` returned.
        members: the project's containers, as the role lists them: the sixth column is the service, the last the status.
    """
    every = {name: [row[-1] for row in members if row[5] == name] for name in found.get("jobs", [])}
    return [name for name, states in every.items() if states and all(state.startswith(_DONE) for state in states)]


def only_again(finished: Sequence[str], members: Sequence[Sequence[str]], actions: Sequence[Found]) -> bool:
    """Tell whether Compose would do no more than start jobs again that are done.

    Arguments:
        finished: as :func:`done` returns them.
        members: as there.
        actions: what Compose would do, to containers by name (``id``) among others, and ``status``.
    """
    jobs = {row[2] for row in members if row[5] in finished}
    return bool(jobs) and all(one["status"] == "Starting" and one["id"] in jobs for one in actions)


def old_files(found: Found) -> list[str]:
    """Return the files of the host that the application's own files mount as its token, alone or in their folder."""
    files = set()
    for name in found["consumers"]:
        for mount in found["services"][name]["volumes"]:
            target = posixpath.normpath(mount["target"])
            if mount.get("type") != "bind":
                continue
            if target == found["directory"]:
                files.add(posixpath.join(mount["source"], found["file"]))
            elif _is_token(mount, found["file"]):
                files.add(str(mount["source"]))
    return sorted(files)


def secret_mounts(secrets: Mapping[str, Any], project: str, target: str) -> dict[str, Any]:
    """Return, for each service that has secrets, the volume that they come in; names alone, no value.

    Arguments:
        secrets: ``app_stack_secrets``.
        project: what the volumes' names begin with.
        target: folder of the secrets in the containers.
    """
    services: dict[str, dict[str, Any]] = {}
    for name in sorted(secrets):
        if not _names_services(secrets[name]):
            continue  # which problems() tells
        for service in secrets[name]["services"]:
            fresh = {
                "key": f"token-keeper-secrets-{service}",
                "volume": f"{project}_secrets_{service}",
                "target": target,
                "names": [],
                "environment": {},
            }
            one = services.setdefault(str(service), fresh)
            one["names"].append(str(name))
            if secrets[name].get("env"):
                one["environment"][str(secrets[name]["env"])] = posixpath.join(target, str(name))
    return services


def revised(mounts: Mapping[str, Any], revisions: Mapping[str, int]) -> dict[str, Any]:
    """Return the secrets' mounts with their volumes' revisions: a container is made anew when its secrets change.

    The revision counts changes; a fingerprint would tell who can read labels something about a short password.
    """
    return {name: {**one, "revision": revisions.get(one["volume"], 0)} for name, one in mounts.items()}


def secret_volumes(mounts: Mapping[str, Any], found: Found) -> list[dict[str, Any]]:
    """Return, for the action ``app_secrets``, which secrets go into which volume and whose they are there."""
    return [
        {
            "volume": one["volume"],
            "names": one["names"],
            "uid": found["services"][name]["uid"],
            "gid": found["services"][name]["gid"],
        }
        for name, one in mounts.items()
    ]


def _names_services(secret: Any) -> bool:
    services = secret.get("services") if isinstance(secret, Mapping) else None
    return isinstance(services, list) and len(services) > 0


def _service(name: str, found: Found, wishes: Mapping[str, Any]) -> dict[str, Any]:
    theirs: Mapping[str, Any] = found["services"][name]
    own: dict[str, Any] = {}
    mounts: list[dict[str, Any]] = []
    environment: dict[str, str] = {}
    if user := wishes["users"].get(name):
        own["user"] = str(user)
    if name in found["consumers"]:
        mounts.append({**_mount(TOKEN, found["directory"]), **_as_they_had_it(theirs, found)})
        environment |= {str(key): str(value) for key, value in wishes["environment"].items()}
        for measure in wishes["hardening"].get(name, wishes["hardening"].get("*", [])):
            if measure == "tmp" and _mounts_in(theirs, "/tmp", beneath=False):  # noqa: S108 - a folder in a container
                continue  # a place to write there is one already, and the engine refuses two
            own |= {key: list(value) if isinstance(value, list) else value for key, value in MEASURES[measure].items()}
        if wishes["attach"] and not theirs["network_mode"]:
            own["networks"] = dict.fromkeys([*(theirs["networks"] or ["default"]), EGRESS])
    if secrets := wishes["secrets"].get(name):
        mounts.append({**_mount(secrets["key"], secrets["target"]), "read_only": True})
        environment |= secrets["environment"]
        own["labels"] = {SECRETS_LABEL: str(secrets.get("revision", 0))}
    if environment:
        own["environment"] = environment
    return {**own, **_without_what_is_in_the_way(theirs, mounts, found, own)}


def _as_they_had_it(theirs: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """Return how the token is mounted besides: read-only where the application has mounted its own so."""
    own = [
        mount
        for mount in theirs["volumes"]
        if posixpath.normpath(mount["target"]) == found["directory"] or _is_token(mount, found["file"])
    ]
    return {"read_only": True} if own and all(mount.get("read_only") for mount in own) else {}


def _without_what_is_in_the_way(
    theirs: Mapping[str, Any], mounts: Sequence[Mapping[str, Any]], found: Found, own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the mounts, and the application's own lists anew where one of theirs would lie over or beside ours.

    A mount at the same path Compose replaces by itself. A file of the host that is bound as the token, over ours or
    elsewhere, and memory at the same path, it would leave; a file that is gone one day Docker makes anew, as a folder.
    """
    places = {mount["target"] for mount in mounts}
    consumer = any(mount["source"] == TOKEN for mount in mounts)
    old = [mount for mount in theirs["volumes"] if consumer and _is_token(mount, found["file"])]
    kept = [
        mount for mount in theirs["volumes"] if posixpath.normpath(mount["target"]) not in places and mount not in old
    ]
    memory = [entry for entry in theirs["tmpfs"] if posixpath.normpath(entry.partition(":")[0]) not in places]
    result: dict[str, Any] = {}
    if mounts:
        result["volumes"] = Instead([*kept, *mounts]) if old else list(mounts)
    if len(memory) != len(theirs["tmpfs"]):
        result["tmpfs"] = Instead([*memory, *own.get("tmpfs", [])])
    return result


def _is_token(mount: Mapping[str, Any], file: str) -> bool:
    return mount.get("type") == "bind" and posixpath.basename(posixpath.normpath(mount["target"])) == file


def _mount(volume: str, target: str) -> dict[str, Any]:
    return {"type": "volume", "source": volume, "target": target, "volume": {"nocopy": True}}


def _doubled(value: Any) -> Any:
    """Return a value with every ``$`` doubled, and Ansible's own kinds of values as those of JSON."""
    if isinstance(value, str):
        return str(value).replace("$", "$$")
    if isinstance(value, Mapping):
        return {str(key): _doubled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        every = [_doubled(one) for one in value]
        return Instead(every) if isinstance(value, Instead) else every
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if isinstance(value, int) else float(value) if isinstance(value, float) else str(value)


class FilterModule:
    """The filters by the names that the role's tasks use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {
            "app_stack_definition": definition,
            "app_stack_done": done,
            "app_stack_expected": expected,
            "app_stack_old_files": old_files,
            "app_stack_only_again": only_again,
            "app_stack_override": override,
            "app_stack_problems": problems,
            "app_stack_revised": revised,
            "app_stack_secret_mounts": secret_mounts,
            "app_stack_secret_volumes": secret_volumes,
            "app_stack_text": text,
        }
