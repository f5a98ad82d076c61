"""Having images on a host: looked at first, then pulled by digest from a registry, or loaded from an archive.

It runs on the controller only and is never sent to a host: what is sent is registry_engine.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from . import places, registry_engine
from .arguments import ArgumentSpec, usage
from .failure import ModuleFailure
from .image_source import Pinned, Source, checked
from .process import Completed
from .registry_engine import MIB, EngineError

HOST_IMAGES: Final[ArgumentSpec] = {
    "images": {"type": "dict", "required": True},
    "variables": {"type": "dict", "required": True, "no_log": True},  # a mirror's address may hold a password
    "root": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "possible"], "default": "present"},
    "registry": {"type": "str", "default": ""},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "daemon_options": {"type": "dict", "default": {}},
    "disk_mib": {"type": "int", "default": 2048},
    "docker_cli": {"type": "str", "default": "docker"},
}
NOTHING: Final = "Nothing was changed on {host}"
# Starts on a host with no argument that tells anything: program, request and password come on stdin
SENT: Final = (
    "import json,sys;r=json.loads(sys.stdin.buffer.read());n={'__name__':'sent'};"
    "exec(compile(r.pop('program'),'registry_engine.py','exec'),n);print(json.dumps(n['serve'](r)))"
)


class Way(Protocol):
    """What connects the controller with a host."""

    def __call__(self, argv: Sequence[str], stdin: bytes) -> Completed:
        """Run a command on the host, as whoever may use its engine."""
        ...

    def handed_over(self, file: Path) -> AbstractContextManager[str]:
        """Copy a file to the host, for as long as the context lasts; gives its path there."""
        ...


@dataclasses.dataclass(frozen=True)
class Host:
    """A host that is to have images.

    Attributes:
        name: as the inventory has it.
        way: the way to it.
        python: its Python.
        parameters: those of the task.
    """

    name: str
    way: Way
    python: str
    parameters: Mapping[str, Any]

    @property
    def registry(self) -> str:
        """The registry, empty where there is none; it has been checked."""
        return str(self.parameters["registry"])

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Have the program of registry_engine.py do something there.

        Raises:
            ModuleFailure: its Python does not run.
            EngineError: its engine or the registry refused.
        """
        program = Path(registry_engine.__file__).read_text(encoding="utf-8")
        request = {
            "program": program,
            "do": what,
            "docker": [self.parameters["docker_cli"]],
            "username": self.parameters["username"],
            "password": self.parameters["password"],
            **more,
        }
        done = self.way([self.python, "-c", SENT], json.dumps(request).encode())
        try:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.exit_code}").splitlines()[-1]
            raise ModuleFailure(
                "HostError",
                "PythonFailed",
                f"{self.name}: {self.python} could not do it: {said}",
                "correct what it names; a host needs Python 3.9 or later, by ansible_python_interpreter",
            ) from None
        if "error" in answer:
            raise EngineError(answer["error"]["reason"], answer["error"]["said"])
        return answer


def brought(host: Host, source: Source, *, check_mode: bool) -> dict[str, Any]:
    """Bring to a host what it lacks of its images, and return the task's result.

    Arguments:
        host: the host.
        source: what the controller has.
        check_mode: only look, at the host, the controller and the registry.

    Raises:
        ModuleFailure: something is in the way; the message says whether anything was changed.
    """
    images = list(host.parameters["images"].values())
    early = host.parameters["state"] == "possible"
    looked = _on_host(
        host,
        lambda: host.ask(
            "look",
            images=images,
            probe=f"{host.registry}/{images[0]}" if host.registry else "",
            daemon=host.parameters["daemon_options"],
            early=early,
        ),
    )
    if not early and not looked["engine"]:
        raise ModuleFailure(
            "EngineError",
            "EngineUnreachable",
            f"{host.name}: no Docker Engine answers: {looked['why']}",
            "start it, install it with the role docker_host, or let this user talk to it (docker_host_become)",
        )
    missing = [reference for reference in images if reference not in looked["tags"]]
    if not missing:
        return {"changed": False, "reason": "Present", "images": [], "pushed": []}
    _space(host, looked)
    source = source.only(missing)
    if host.registry:
        return _from_registry(host, source, looked, missing, only_look=check_mode or early)
    return _from_archive(host, source, looked, missing, only_look=check_mode or early)


def _from_registry(
    host: Host, source: Source, looked: Mapping[str, Any], missing: list[str], *, only_look: bool
) -> dict[str, Any]:
    if "refused" in looked:
        raise refused(EngineError(**looked["refused"]), host.registry, host.name, controller=False)
    there = _on_controller(host, lambda: source.found(host.registry))
    for reference, pinned in there.items():
        _fits(host, reference, pinned.architectures, looked["architecture"])
    if len(there) < len(missing):
        _fits(host, "what the controller builds", (_on_controller(host, source.architecture),), looked["architecture"])
    if only_look:
        return _announced(
            host, missing, f"pulled from {host.registry}", [each for each in missing if each not in there]
        )
    pinned, pushed = _on_controller(host, lambda: source.pushed(host.registry))
    wanted = {reference: pinned[reference] for reference in missing}
    layers = _on_host(
        host, lambda: host.ask("pull", images={name: dataclasses.asdict(p) for name, p in wanted.items()})
    )
    told = [_told(name, image, layers["layers"][name]) for name, image in wanted.items()]
    return {"changed": True, "reason": "Pulled", "images": told, "pushed": pushed}


def _told(reference: str, pinned: Pinned, layers: int) -> dict[str, Any]:
    return {"name": reference, "source": f"{pinned.repository}@{pinned.digest}", "layers_fetched": layers}


def _from_archive(
    host: Host, source: Source, looked: Mapping[str, Any], missing: list[str], *, only_look: bool
) -> dict[str, Any]:
    own = _on_controller(host, source.architecture)
    _fits(host, "what the controller builds", (own,), looked["architecture"])
    if only_look:
        return _announced(host, missing, "brought from the controller", [])
    with places.place() as folder:
        archive = folder / "images.tar"
        size = _on_controller(host, lambda: source.archive(archive))
        _space_aside(host, looked, size)
        with host.way.handed_over(archive) as path:
            archive.unlink()  # a run that is killed from here on leaves nothing of it, since the host removes its own
            _on_host(host, lambda: host.ask("load", archive=path, images=missing))
    told = [{"name": reference, "source": "the controller", "layers_fetched": None} for reference in missing]
    return {"changed": True, "reason": "Loaded", "images": told, "pushed": [], "bytes": size}


def _announced(host: Host, missing: list[str], how: str, built: list[str]) -> dict[str, Any]:
    changed = host.parameters["state"] == "present"
    lines = [f"{reference}: would be {how}" for reference in missing]
    lines += [f"{reference}: the registry lacks it; would be pushed" for reference in built]
    return {"changed": changed, "reason": "WouldBring", "images": [], "pushed": [], "would": lines}


def _fits(host: Host, what: str, architectures: Sequence[str], own: str) -> None:
    if architectures and own not in architectures:
        raise _wrong_architecture(host.name, what, architectures, own)


def _wrong_architecture(host: str, what: str, architectures: Sequence[str], own: str) -> ModuleFailure:
    return ModuleFailure(
        "ImageError",
        "WrongArchitecture",
        f"{host} is {own}, and {what} is for {', '.join(architectures)}",
        f"have the host build its own (images_built_on: host, without images_registry), or run this from a controller "
        f"that is {own}. {NOTHING.format(host=host)}",
    )


def _space(host: Host, looked: Mapping[str, Any]) -> None:
    free, needed = looked["root_free"], host.parameters["disk_mib"]
    if free is not None and free < needed:
        raise ModuleFailure(
            "StorageError",
            "NoSpace",
            f"{host.name}: {free} MiB are free in {looked['root']}, and the images ask for {needed} MiB",
            f"make room (`docker system df` shows what is used), or set images_disk_mib if you know better. "
            f"{NOTHING.format(host=host.name)}",
        )


def _space_aside(host: Host, looked: Mapping[str, Any], size: int) -> None:
    """See that the archive finds room where it is laid, besides what loading it takes where both are one disk."""
    free, needed = looked["aside_free"], -(-size // MIB)
    shared = looked["aside_device"] is not None and looked["aside_device"] == looked["root_device"]
    if shared:
        needed += host.parameters["disk_mib"]
    if free is not None and free < needed:
        also = f", on the disk that {looked['root']} is on" if shared else ""
        raise ModuleFailure(
            "StorageError",
            "NoSpace",
            f"{host.name}: {free} MiB are free in {registry_engine.ASIDE}{also}, and {needed} MiB are needed: "
            f"the archive of the images is {-(-size // MIB)} MiB, and loading it asks for "
            f"{host.parameters['disk_mib']} MiB",
            "make room, set images_disk_mib if you know better, or use a registry (images_registry), from which "
            f"nothing is laid aside. {NOTHING.format(host=host.name)}",
        )


def _on_controller(host: Host, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except EngineError as error:
        if error.reason == "EngineUnreachable" or not host.registry:
            raise ModuleFailure(
                "EngineError",
                "EngineUnreachable" if error.reason == "EngineUnreachable" else "EngineRefused",
                f"the controller's Docker Engine, which builds the images for {host.name}: {error.said}",
                "start it (ansible-playbook playbooks/docker_host.yml with the demo's inventory), or have each host "
                f"build its own: images_built_on: host. {NOTHING.format(host=host.name)}",
            ) from None
        raise refused(error, host.registry, host.name, controller=True) from None


def _on_host(host: Host, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except EngineError as error:
        if error.reason == "WrongArchitecture":
            raise ModuleFailure(
                "ImageError",
                error.reason,
                f"{host.name}: {error.said}, which this host is not",
                "have the host build its own (images_built_on: host, without images_registry). "
                f"{NOTHING.format(host=host.name)}",
            ) from None
        if error.reason == "EngineUnreachable":
            raise ModuleFailure(
                "EngineError",
                "EngineLost",
                f"{host.name}: its Docker Engine went away: {error.said}",
                "see that it is back (systemctl status docker), then run this again: what it has by then is kept",
            ) from None
        if not host.registry and error.reason == "NoSpace":
            raise ModuleFailure(
                "StorageError",
                "NoSpace",
                f"{host.name}: no space is left: {error.said}",
                "make room there (`docker system df` shows what is used), then run this again",
            ) from None
        if not host.registry:
            raise ModuleFailure(
                "EngineError",
                "EngineRefused",
                f"{host.name}: its Docker Engine refused: {error.said}",
                "correct what it names, then run this again",
            ) from None
        raise refused(error, host.registry, host.name, controller=False) from None


def refused(error: EngineError, registry: str, host: str, *, controller: bool) -> ModuleFailure:
    """Return the failure for a registry that refused: what happened, where, and what to do there.

    Arguments:
        error: what the engine said.
        registry: as images are named in it.
        host: the host that is to have the images.
        controller: whether the controller asked; otherwise it was the host.
    """
    server = registry.split("/", maxsplit=1)[0]
    where = "the controller" if controller else host
    login = (
        f"run `docker login {server}` there, as the user who runs Ansible"
        if controller
        else "set images_registry_username and images_registry_password (in the vault), or run "
        f"`docker login {server}` there as the user who talks to its engine"
    )
    what, remedy = {
        "Unreachable": ("does not answer", f"see that {where} has a way to {server}, or correct images_registry"),
        "Unauthorized": ("refuses the user", login),
        "Untrusted": (
            "shows a certificate that is not trusted",
            f"put its authority's certificate into /etc/docker/certs.d/{server}/ca.crt there",
        ),
        "PlainHttp": (
            "answers with plain HTTP, where TLS is expected",
            "give it a certificate; or, on a network that nobody else is on, allow it on the engine: "
            f'docker_host_daemon_options: {{insecure-registries: ["{server}"]}}'
            + (" (on the controller in its own /etc/docker/daemon.json)" if controller else ""),
        ),
        "NotThere": (
            "does not have what the controller has pushed",
            "somebody has removed it since: run this again, and it is pushed again",
        ),
        "NoSpace": ("could not be pulled from", f"make room on {where}: `docker system df` shows what is used"),
    }.get(error.reason, ("refused", "correct what it names"))
    subject = f"{where}: the registry {server} {what}" if error.reason != "NoSpace" else f"{where}: no space is left"
    after = "" if error.reason == "NoSpace" and not controller else f" {NOTHING.format(host=host)}"
    return ModuleFailure("RegistryError", error.reason, f"{subject}: {error.said}", f"{remedy}.{after}")


def sound(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a task's parameters with the registry as images are named in it.

    Raises:
        ModuleFailure: it is no registry, there are no images, or half of a login.
    """
    if not parameters["images"]:
        raise usage("images is empty", "name one at least")
    if bool(parameters["username"]) != bool(parameters["password"]):
        what = "images_registry_password" if parameters["username"] else "images_registry_username"
        raise usage(f"{what} is empty, and the other half of the login is not", "set both, or neither")
    return {**parameters, "registry": checked(parameters["registry"]) if parameters["registry"] else ""}
