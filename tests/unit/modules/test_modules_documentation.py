"""The documentation of the modules says what their argument specifications say, and what they return."""

from __future__ import annotations

import ast
import importlib
from typing import Any

import pytest
import yaml
from module_utils.token_keeper_helper import arguments, backup_arguments
from module_utils.token_keeper_helper.app_secrets import APP_SECRETS
from module_utils.token_keeper_helper.app_survey import APP_SERVICES_INFO
from module_utils.token_keeper_helper.doctor_arguments import TOKEN_DOCTOR
from module_utils.token_keeper_helper.host_images import HOST_IMAGES
from module_utils.token_keeper_helper.migrating import TOKEN_MIGRATION
from module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION
from pretended import ROOT

MODULES = {
    "token_volume": arguments.TOKEN_VOLUME,
    "token_volume_info": arguments.TOKEN_VOLUME_INFO,
    "token_status_info": arguments.TOKEN_STATUS_INFO,
    "oauth_token": arguments.OAUTH_TOKEN,
    "token_rotation": TOKEN_ROTATION,
    "token_backup": backup_arguments.TOKEN_BACKUP,
    "token_restore": backup_arguments.TOKEN_RESTORE,
    "token_document": backup_arguments.TOKEN_DOCUMENT,
    "token_doctor": TOKEN_DOCTOR,
    "app_services_info": APP_SERVICES_INFO,
    "token_migration": TOKEN_MIGRATION,
    "host_images": HOST_IMAGES,
}
PARTS = sorted((ROOT / "module_utils").rglob("*.py")) + sorted((ROOT / "library").glob("*.py"))


def documented(name: str, part: str) -> Any:
    return yaml.safe_load(getattr(importlib.import_module(f"library.{name}"), part))


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(name: str) -> None:
    documentation, specification = documented(name, "DOCUMENTATION"), MODULES[name]
    assert documentation["module"] == name
    assert documentation["options"].keys() == specification.keys()
    for option, told in documentation["options"].items():
        real = specification[option]
        assert told["description"], option
        for key in ("type", "required", "default", "choices", "elements"):
            assert told.get(key) == real.get(key), f"{option}.{key}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_options_that_there_are(name: str) -> None:
    for task in documented(name, "EXAMPLES"):
        assert task["name"]
        assert task[name].keys() <= MODULES[name].keys()


@pytest.mark.parametrize("name", MODULES)
def test_every_key_that_is_returned_has_a_sample(name: str) -> None:
    for key, told in documented(name, "RETURN").items():
        assert told["description"], key
        assert told["returned"], key
        assert "sample" in told, key


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("token_volume", ["Created", "Replaced", "Unchanged", "NewerThere", "Initialised", "Refreshed", "StillFresh"]),
        ("oauth_token", ["Unchanged", "PolicyChanged", "Mended", "NoSoundDocument", "ReauthRequired"]),
        ("token_backup", ["Taken", "Unchanged"]),
        ("token_restore", ["Created", "Replaced", "Unchanged", "NewerThere"]),
        ("token_document", ["Created", "Replaced", "Unchanged", "NewerThere"]),
        ("host_images", ["Present", "Pulled", "Loaded", "WouldBring"]),
        ("token_rotation", ["Staged", "Checked", "Promoted", "Converged", "Retired", "RolledBack", "ClientChanged"]),
    ],
)
def test_every_reason_of_a_success_is_documented(name: str, reasons: list[str]) -> None:
    told = documented(name, "RETURN")["reason"]["description"]
    assert [reason for reason in reasons if f"C({reason})" not in told] == []


@pytest.mark.parametrize("name", MODULES)
def test_attributes_say_how_far_each_is_supported(name: str) -> None:
    for attribute, told in documented(name, "DOCUMENTATION")["attributes"].items():
        assert told["support"] in {"full", "partial", "none"}, attribute
        assert told["support"] == "none" or told["description"], attribute


@pytest.mark.parametrize("path", PARTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_runs_on_a_host_is_python_3_9(path: Any) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_options_that_hold_secrets_are_marked() -> None:
    assert arguments.TOKEN_VOLUME["document"]["no_log"] is True
    assert APP_SECRETS["secrets"]["no_log"] is True
    assert arguments.OAUTH_TOKEN["client_secrets"]["no_log"] is True
    assert HOST_IMAGES["password"]["no_log"] is True
    assert HOST_IMAGES["variables"]["no_log"] is True  # among them a mirror's address, which may hold a password
    assert TOKEN_ROTATION["document"]["no_log"] is True
    assert TOKEN_ROTATION["client_secrets"]["no_log"] is True
