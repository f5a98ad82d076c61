"""What belongs to somebody else, or has lost its files: what playbooks refuse, and what they remove all the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deployment import ROOT, Deployment, docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

INNER = {"networks": {"internal": {"internal": True}}}


@pytest.fixture(scope="session")
def broker(deployment: Deployment) -> str:
    """An image whose container starts at once and stays."""
    return docker("inspect", "--format", "{{.Config.Image}}", deployment.container("redis")).strip()


def compose(project: str, folder: Path, *arguments: str) -> None:
    """Run Compose for a project in a folder."""
    file = ["--project-directory", str(folder), "--file", str(folder / "compose.yml")]
    docker("compose", "--project-name", project, *file, *arguments)


@contextmanager
def composed(project: str, folder: Path, image: str) -> Iterator[str]:
    """A running compose project with one container, whose name this is."""
    folder.mkdir(parents=True)
    service = {"image": image, "networks": ["internal"], "stop_grace_period": "0s"}
    (folder / "compose.yml").write_text(json.dumps({"services": {"web": service}, **INNER}))
    compose(project, folder, "up", "--detach")
    try:
        yield f"{project}-web-1"
    finally:
        docker("compose", "--project-name", project, "down", "--timeout", "0")


def listed(kind: str, project: str) -> list[str]:
    """Return the engine's containers or networks whose name begins like the project's."""
    everything = ["ps", "--all"] if kind == "container" else ["network", "ls"]
    name = "{{.Names}}" if kind == "container" else "{{.Name}}"
    return sorted(docker(*everything, "--filter", f"name=^{project}[-_]", "--format", name).split())


def attempts(folder: Path, *roles: dict[str, object]) -> str:
    """Write a play that goes through entry points of roles, and on to the next where one refuses; return its name."""
    tasks = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {name: role[name] for name in ("name", "tasks_from")},
                    "vars": role.get("vars", {}),
                }
            ],
            "rescue": [{"ansible.builtin.debug": {"msg": f"refused {number}"}}],
        }
        for number, role in enumerate(roles, 1)
    ]
    play = folder / "attempts.yml"
    play.write_text(json.dumps([{"hosts": "docker_hosts", "gather_facts": False, "tasks": tasks}]))
    return str(play)


def test_somebody_else_s_project_and_a_place_that_cannot_be_written_to_are_refused(broker: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    nowhere = {"app_stack_project": "tk-alone-nowhere", "app_stack_project_dir": f"{file}/folder"}
    play = attempts(
        tmp_path,
        {"name": "app_stack", "tasks_from": "place.yml"},
        {"name": "app_stack", "tasks_from": "absent.yml"},
        {"name": "app_stack", "tasks_from": "place.yml", "vars": nowhere},
    )
    with composed("tk-alone-strangers", tmp_path / "theirs", broker) as container:
        refused = Deployment("tk-alone-strangers", 28096, 29416, tmp_path).playbook(play).succeeded()
        running = docker("inspect", "--format", "{{.State.Running}}", container).strip()
    assert running == "true"
    assert refused.changed == 0
    for number in (1, 2, 3):
        assert f"refused {number}" in refused.text
    theirs = (
        "On demo there is another compose project with the name tk-alone-strangers, which would lose its containers: "
        f"{container} from {tmp_path / 'theirs'}. Nothing has been changed. Choose another app_stack_project"
    )
    assert theirs in refused.text
    assert refused.text.count("assertion: __app_stack_strangers | length == 0") == 2
    assert (
        f"be made or written to: {file} is not a folder that the user who runs this may write to. Nothing has been "
        "changed. Name another folder in app_stack_project_dir"
    ) in refused.text
    assert not (tmp_path / "token-keeper").exists()


def test_teardown_needs_no_files_and_takes_no_network_or_image_of_another(broker: str, tmp_path: Path) -> None:
    mine = Deployment("tk-alone-gone", 28097, 29417, tmp_path, {"images_prefix": "tk-alone-gone"})
    own, others = "tk-alone-gone-keeper:old", "tk-alone-gone-two-keeper:old"
    egress, stranger = "tk-alone-gone_egress", "tk-alone-stranger"

    def clear() -> None:
        for arguments in (("rm", "--force", stranger), ("network", "rm", egress), ("rmi", own, others)):
            subprocess.run(["docker", *arguments], capture_output=True, check=False)

    clear()  # what a run that was killed has left
    for image in (own, others):
        docker("tag", broker, image)
    docker("network", "create", "--label", "io.token-keeper.project=tk-alone-gone", egress)
    docker("run", "--detach", "--name", stranger, "--network", egress, broker)
    try:
        with composed(mine.project, mine.project_dir, broker):
            shutil.rmtree(mine.project_dir)
            assert listed("network", mine.project) == [egress, "tk-alone-gone_internal"]

            # a text, as -e brings it: nothing of a sandbox is looked for, and nothing of it is removed
            options = ("-e", "teardown_images=true", "-e", "sandbox_enabled=false")
            torn_down = mine.playbook("playbooks/teardown.yml", *options).succeeded()
            assert listed("container", mine.project) == []
            assert listed("network", mine.project) == [egress]
            assert f"The network {egress} is left as it is: on it are {stranger}" in torn_down.text
            assert "TASK [sandbox" not in torn_down.output
            named = ("--filter", "reference=tk-alone-gone-*", "--format", "{{.Repository}}:{{.Tag}}")
            assert docker("image", "ls", *named).split() == [others]

            # an inner network alone, as after containers that were removed by hand
            labels = ("com.docker.compose.project=tk-alone-gone", "com.docker.compose.network=internal")
            docker("network", "create", *(f"--label={label}" for label in labels), "tk-alone-gone_internal")
            mine.playbook(attempts(tmp_path, {"name": "app_stack", "tasks_from": "absent.yml"})).succeeded()
            assert listed("network", mine.project) == [egress]
    finally:
        clear()


def test_pruning_takes_no_build_stage_of_another_deployment(tmp_path: Path) -> None:
    stages = {
        label: subprocess.run(
            ["docker", "import", "--change", f"LABEL io.token-keeper.stage={label}", "-"],
            input=bytes(10240),  # an empty archive
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
        for label in ("tk-alone-one", "tk-alone-two")
    }
    play = attempts(tmp_path, {"name": "images", "tasks_from": "prune.yml"})
    one = Deployment("tk-alone-one", 28098, 29418, tmp_path, {"images_prefix": "tk-alone-one"})
    one.playbook(play).succeeded()
    left = docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true").split()
    docker("rmi", stages["tk-alone-two"])
    assert stages["tk-alone-one"] not in left
    assert stages["tk-alone-two"] in left


@pytest.mark.parametrize("image", ["keeper", "stack", "sandbox"])
def test_a_build_stage_carries_the_label_that_is_pruned(image: str) -> None:
    stage = (ROOT / "roles/images/files" / image / "Dockerfile").read_text().partition("\nFROM ${BASE}\n")[0]
    assert "FROM ${BASE} AS build\n" in stage
    assert "ARG DEPLOYMENT\nLABEL io.token-keeper.stage=${DEPLOYMENT}\n" in stage
