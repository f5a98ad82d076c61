"""The helper's command line, and what becomes of what it says."""

from __future__ import annotations

import dataclasses

import pytest
from module_utils.token_keeper_helper import arguments
from module_utils.token_keeper_helper.engine import Engine
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.helper import Outward
from module_utils.token_keeper_helper.process import Completed
from pretended import Docker, error, refused, said


def test_a_helper_has_no_rights_no_network_no_log_and_never_pulls(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    docker.helper.run("status")
    argv, stdin = docker.calls[0]
    assert argv == [
        "docker",
        "run",
        "--rm",
        "--pull=never",
        "--log-driver=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
        "--user=999:999",
        "--pids-limit=64",
        "--memory=256m",
        "--label=io.token-keeper.role=helper",
        "--mount=type=volume,source=tokens,target=/app/tokens,volume-nocopy",
        "--tmpfs=/tmp",
        "--env=TOKEN_KEEPER_SERVICE=ansible",
        "keeper:1",
        "--path=/app/tokens/token.json",
        "status",
        "--json",
    ]
    assert stdin is None


def test_a_document_goes_in_on_stdin_and_is_not_in_the_command_line(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    docker.helper.run("push", stdin=b"the secret")
    argv, stdin = docker.calls[0]
    assert stdin == b"the secret"
    assert "--interactive" in argv
    assert "secret" not in " ".join(argv)


def test_only_the_first_initialisation_is_root_and_may_only_chown(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    docker.helper.initialise("0700", dry_run=False)
    argv, _ = docker.calls[0]
    assert "--user=0:0" in argv
    assert argv[argv.index("--cap-drop=ALL") + 1 :][:2] == ["--cap-add", "CHOWN"]
    assert "--network=none" in argv


def test_a_dry_run_of_it_may_look_everywhere_and_change_nothing(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    docker.helper.initialise("0700", dry_run=True)
    argv, _ = docker.calls[0]
    assert argv[argv.index("--cap-drop=ALL") + 1 :][:2] == ["--cap-add", "DAC_READ_SEARCH"]
    assert "CHOWN" not in argv


def test_somebody_elses_volume_is_refused_with_the_roles_variable_as_the_remedy(docker: Docker) -> None:
    docker.on("init-volume", answers=[error("Conflict", "ForeignContent", 11)])
    with pytest.raises(ModuleFailure, match="token_volume_force") as caught:
        docker.helper.initialise("0700", dry_run=False)
    assert (caught.value.kind, caught.value.reason) == ("Conflict", "ForeignContent")
    assert "--force" not in str(caught.value)


def test_only_an_exchange_has_a_network(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    docker.helper.run("refresh", outward=Outward("egress"))
    assert "--network=egress" in docker.calls[0][0]


def test_a_proxy_and_certificates_are_for_exchanges_alone(docker: Docker) -> None:
    docker.on("run", answers=[said({})])
    outward = Outward("egress", {"HTTPS_PROXY": "http://proxy:3128"}, "/etc/ssl/private-ca.pem")
    docker.helper.run("refresh", outward=outward)
    docker.helper.run("status")
    with_network, without = (argv for argv, _ in docker.calls)
    bundle = "/etc/ssl/token-keeper-ca.pem"
    assert set(with_network) - set(without) == {
        "--network=egress",
        "--env=HTTPS_PROXY=http://proxy:3128",
        f"--mount=type=bind,source=/etc/ssl/private-ca.pem,target={bundle},readonly",
        f"--env=SSL_CERT_FILE={bundle}",
        f"--env=REQUESTS_CA_BUNDLE={bundle}",
        "refresh",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"environment": {"DEBUG": 1}}, "numbers in quotes"),
        ({"environment": {"NO VALUE": "x"}}, "NO VALUE"),
        ({"environment": {"--privileged=1": "x"}}, "variable's name"),
        *(
            ({"environment": {"HTTPS_PROXY": proxy}}, "HTTPS_PROXY in environment holds")
            for proxy in (
                "http://me:canary@proxy:3128",
                "me:canary@proxy:3128",
                "http://canary@proxy",
                "canary@proxy",
                " http://me:canary@proxy",
                "//me:canary@proxy",
                "http://me:can/ary@proxy",
                "http://me:can@ary@proxy",
                "http://me:canary%40@proxy",
            )
        ),
        ({"ca_bundle": "ca.pem"}, "full path"),
        ({"ca_bundle": "/ca.pem,readonly=false"}, "without a comma"),
    ],
)
def test_a_way_to_the_provider_that_makes_no_sense_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ModuleFailure, match=says) as caught:
        arguments.outward_of({"network": "egress", "environment": {}, "ca_bundle": None, **options})
    assert caught.value.kind == "UsageError"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", ["http://proxy:3128", "proxy:3128", ".example,[::1],10.0.0.0/8", "/etc/ca@2026.pem"])
def test_an_address_without_credentials_is_handed_on(value: str) -> None:
    way = arguments.outward_of({"network": "egress", "environment": {"NAME": value}, "ca_bundle": None})
    assert f"--env=NAME={value}" in way.options


def test_the_engine_is_named_before_the_docker_command(docker: Docker) -> None:
    engine = Engine(docker, "/opt/docker", "ssh://host")
    assert engine.argv("ps") == ["/opt/docker", "-H", "ssh://host", "ps"]


def test_an_error_of_the_helper_keeps_its_type_reason_and_remedy(docker: Docker) -> None:
    docker.on("run", answers=[error("Conflict", "DifferentGrant", 11)])
    with pytest.raises(ModuleFailure) as caught:
        docker.helper.run("push", stdin=b"{}")
    assert caught.value.as_result() == {
        "msg": "volume tokens: what happened (what to do)",
        "error": {
            "type": "Conflict",
            "reason": "DifferentGrant",
            "message": "volume tokens: what happened",
            "remedy": "what to do",
        },
    }


@pytest.mark.parametrize(
    ("code", "stderr", "reason", "says"),
    [
        (
            125,
            "docker: Cannot connect to the Docker daemon at unix:///nonexistent. Is the docker daemon running?",
            "EngineUnreachable",
            "no Docker Engine answers at",
        ),
        (
            125,
            "failed to connect to the docker API at tcp://h:1; check if the path is correct",
            "EngineUnreachable",
            "no Docker",
        ),
        (
            125,
            "docker: error during connect: Head http://h: dial tcp: lookup h",
            "EngineUnreachable",
            "no Docker Engine",
        ),
        (
            125,
            'time="2026-11-26T16:34:08Z" level=error msg="error waiting for container: unexpected EOF"',
            "EngineLost",
            "whole old document or the whole new one",
        ),
        (
            125,
            "docker: permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "EngineForbidden",
            "group docker",
        ),
        (
            125,
            "docker: Error response from daemon: No such image: keeper:1.\nSee 'docker run --help'.",
            "ImageMissing",
            "role images",
        ),
        (125, "Unable to find image 'keeper:1' locally", "ImageMissing", "keeper:1"),
        (125, "docker: Error response from daemon: network egress not found.", "NetworkMissing", "egress"),
        (125, "unknown flag: --pull", "EngineTooOld", "20.10"),
        (
            125,
            "docker: Error response from daemon: invalid mount config: bad.\nSee 'docker run --help'.",
            "EngineRefused",
            "invalid mount",
        ),
        (
            127,
            "docker: Error response from daemon: OCI runtime create failed: "
            'exec: "token-keeper": executable file not found in $PATH',
            "ImageUnsuitable",
            "no token-keeper command",
        ),
        (127, "/bin/sh: 1: docker: not found", "DockerCommandMissing", "role docker_host"),
        (137, "", "HelperKilled", "killed"),
        (0, "", "ImageUnsuitable", "exit code 0"),
        (1, "Traceback: somewhere", "ImageUnsuitable", "somewhere"),
    ],
)
def test_what_went_wrong_around_the_helper_is_said_with_a_remedy(
    docker: Docker, code: int, stderr: str, reason: str, says: str
) -> None:
    docker.on("run", answers=[refused(code, stderr)])
    with pytest.raises(ModuleFailure) as caught:
        docker.helper.run("refresh", outward=Outward("egress"))
    assert caught.value.reason == reason
    assert says in str(caught.value)
    assert caught.value.remedy


def test_the_helper_prints_json_and_nothing_else(docker: Docker) -> None:
    docker.on("run", answers=[Completed(0, '["a list"]', "")])
    with pytest.raises(ModuleFailure) as caught:
        docker.helper.run("status")
    assert caught.value.reason == "ImageUnsuitable"


PARAMETERS = {
    "volume": "tokens",
    "file": "token.json",
    "image": "keeper:1",
    "uid": 999,
    "gid": 999,
    "docker_cli": "docker",
    "docker_host": None,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("volume", "/srv/tokens"),
        ("volume", "tokens,readonly"),
        ("volume", ""),
        ("file", "../token.json"),
        ("file", ".token.json.state"),
        ("file", "a/b"),
        ("file", "--help"),
        ("mode", "0777"),
        ("mode", "0600"),
        ("mode", "rwx"),
        ("mode", "448"),
    ],
)
def test_names_that_could_mean_something_else_are_refused(docker: Docker, name: str, value: str) -> None:
    with pytest.raises(ModuleFailure) as caught:
        arguments.helper_of({**PARAMETERS, name: value}, docker)
    assert caught.value.kind == "UsageError"
    assert docker.calls == []


def test_a_helper_is_made_of_the_parameters(docker: Docker) -> None:
    made = arguments.helper_of({**PARAMETERS, "mode": "0750", "docker_host": "unix:///run/d.sock"}, docker)
    assert dataclasses.astuple(made)[1:] == ("keeper:1", "tokens", "token.json", 999, 999)
    assert made.engine.host == "unix:///run/d.sock"
