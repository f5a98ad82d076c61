"""What the roles of the token modules hand to them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2.nativetypes import NativeEnvironment
from module_utils.token_keeper_helper import arguments
from pretended import ROOT


def defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    return found


@pytest.mark.parametrize("project", [{}, {"token_keeper_project": "assistant"}])
def test_each_role_alone_means_the_same_volume(project: dict[str, str]) -> None:
    other = {**project, "app_stack_project": "elsewhere"}
    names = {
        NativeEnvironment().from_string(defaults(role)[name]).render(other)
        for role, name in (("token_volume", "token_volume_name"), ("oauth_token", "oauth_token_volume"))
    }
    assert names == {f"{project.get('token_keeper_project', 'token-keeper')}_token_data"}


@pytest.mark.parametrize("role", ["token_volume", "oauth_token"])
def test_no_role_can_put_its_part_of_a_deployment_on_another_engine(role: str) -> None:
    files = [path.read_text() for path in (ROOT / "roles" / role).rglob("*.yml")]
    assert files
    assert not any(f"{role}_docker_host" in text or "docker_host:" in text for text in files)


def test_the_role_hands_every_option_of_the_question_on() -> None:
    task = yaml.safe_load((ROOT / "roles" / "oauth_token" / "tasks" / "obtain.yml").read_text())[0]
    assert task["oauth_token"].keys() == arguments.OAUTH_TOKEN.keys() - {"docker_host"}


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        ("", "omitted"),
        (None, "omitted"),
        ("no", "no"),
        (False, "no"),
        ("yes", "yes"),
        (True, "yes"),
        ("unknown", "unknown"),
    ],
)
def test_what_is_declared_of_rotation_is_handed_on_without_quotes_as_well(given: object, handed_on: str) -> None:
    text = yaml.safe_load((ROOT / "roles/oauth_token/tasks/obtain.yml").read_text())[0]["oauth_token"]["rotation"]
    known = {"__oauth_token_entry": {"rotation": given}, "omit": "omitted", "none": None}
    value = NativeEnvironment().from_string(text).render(known)
    if value == "omitted":
        assert handed_on == value
        return
    specification = {"rotation": arguments.OAUTH_TOKEN["rotation"]}
    outcome = ArgumentSpecValidator(specification).validate({"rotation": value})
    assert outcome.error_messages == []
    assert outcome.validated_parameters["rotation"] == handed_on


def test_revocation_may_be_off_without_quotes() -> None:
    tasks = yaml.safe_load((ROOT / "roles/rotation/tasks/request.yml").read_text())
    said = next(task["ansible.builtin.assert"]["that"] for task in tasks if "revocations" in task["name"])
    for value, good in (("off", True), (False, True), ("token", False)):
        known = {"rotation_revocation": value, "rotation_revocation_url": ""}
        assert NativeEnvironment().from_string(f"{{{{ {said} }}}}").render(known) is good


def test_the_application_refuses_the_proxies_that_the_helper_refuses() -> None:
    known = yaml.safe_load((ROOT / "roles" / "app_stack" / "vars" / "main.yml").read_text())
    told = re.compile(known["__app_stack_credentials"])
    for value in (
        "http://user:canary@proxy:1",
        "token@proxy",
        " //u@p",
        "\nu:p@h",
        "http://proxy:1",
        "/etc/ssl/a@b.pem",
        "",
    ):
        assert bool(told.match(value)) == bool(arguments._CREDENTIALS.match(value)), value


@pytest.mark.parametrize("role", ["app_stack", "refresh_health"])
@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        ({}, ("tokens", "token.json")),
        ({"oauth_tokens": []}, ("tokens", "token.json")),
        ({"oauth_tokens": [{"name": "a", "file": "a.json"}, {"name": "b"}]}, ("tokens", "a.json")),
        ({"oauth_tokens": [{"name": "a"}, {"name": "b", "volume": "other", "app": True}]}, ("other", "token.json")),
    ],
    ids=["one", "none-listed", "the-first", "the-marked-one"],
)
def test_the_application_has_the_token_that_is_its(role: str, tokens: dict[str, Any], place: tuple[str, str]) -> None:
    known = yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text())
    prefix = "app_stack_token" if role == "app_stack" else role
    entry = f"__{role}_token_entry"
    variables = {"token_volume_name": "tokens", **tokens}
    variables[entry] = NativeEnvironment().from_string(known[entry]).render(variables)
    found = [NativeEnvironment().from_string(defaults(role)[f"{prefix}_{part}"]) for part in ("volume", "file")]
    assert tuple(each.render(variables) for each in found) == place
