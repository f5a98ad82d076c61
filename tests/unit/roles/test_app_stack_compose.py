"""The compose file of the application, as the role's template renders it."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.template import Templar, trust_as_template  # type: ignore[import-untyped]

ROLE = Path(__file__).resolve().parents[3] / "roles/app_stack"
GIVEN = {
    "images_stack": "stack:1",
    "images_redis": "redis:1",
    "images_keeper": "keeper:1",
    "ansible_managed": "Managed",
}


def rendered(**variables: Any) -> dict[str, Any]:
    """Return the compose file as YAML reads it, before Compose puts variables in."""
    loader = DataLoader()
    known: dict[str, Any] = {**GIVEN}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    templar = Templar(loader, variables={**known, **variables})
    text = templar.template(trust_as_template((ROLE / "templates/compose.yml.j2").read_text()))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("value", ["pa$word", "${HOME}", "$$", "a: $b # c", "$" * 120 + " x" * 60])
def test_a_dollar_in_the_environment_stays_a_dollar(value: str) -> None:
    composed = rendered(app_stack_environment={"LLM_MODEL": value})
    for service in ("api", "celery"):
        told = composed["services"][service]["environment"]["LLM_MODEL"]
        # Compose takes two for one, and one for the beginning of a variable
        assert told == value.replace("$", "$$")
        assert composed["services"][service]["environment"]["REDIS_URL"] == "redis://redis:6379/0"


@pytest.mark.parametrize(
    ("bind", "published", "hosts"),
    [
        ("127.0.0.1", "127.0.0.1", []),
        ("192.0.2.7", "192.0.2.7", ["192.0.2.7"]),
        ("::", "[::]", []),
        ("2001:db8::7", "[2001:db8::7]", ["[2001:db8::7]"]),
    ],
)
def test_an_address_of_ipv6_is_published_in_brackets(bind: str, published: str, hosts: list[str]) -> None:
    services = rendered(app_stack_api_bind=bind, app_stack_keeper_bind=bind)["services"]
    assert services["api"]["ports"] == [f"{published}:8080:8080"]
    assert services["keeper"]["ports"] == [f"{published}:9401:9401"]
    allowed = services["api"]["environment"]["API_ALLOWED_HOSTS"].split(",")
    assert allowed == ["localhost", "127.0.0.1", "[::1]", "api", *hosts]


def test_the_keeper_has_the_volume_the_provider_and_nothing_else() -> None:
    proxies = {"HTTPS_PROXY": "http://proxy.example:3128", "SSL_CERT_FILE": "/etc/ssl/own@example.pem"}
    services = rendered(app_stack_environment={**proxies, "LOG_LEVEL": "debug"}, app_stack_restart="always")["services"]
    keeper, api = services["keeper"], services["api"]
    assert keeper["image"] == "keeper:1"
    assert keeper["command"] == ["keep"]
    assert keeper["environment"] == {
        **proxies,
        "TOKEN_KEEPER_PATH": "/app/tokens/token.json",
        "TOKEN_KEEPER_SERVICE": "keeper",
    }
    assert keeper["networks"] == ["egress"]
    assert keeper["volumes"] == api["volumes"]
    # it is hardened, restarted, limited and asked for its health as the others are
    for name in ("init", "read_only", "user", "cap_drop", "security_opt", "pids_limit", "restart", "logging", "tmpfs"):
        assert keeper[name] == api[name], name
    assert {"mem_limit", "cpus", "healthcheck", "stop_grace_period"} <= keeper.keys()


def test_a_slow_start_has_as_long_as_the_run_waits_for_it() -> None:
    services = rendered(app_stack_wait_timeout=300)["services"]
    assert {services[name]["healthcheck"]["start_period"] for name in ("api", "celery", "keeper")} == {"300s"}


@pytest.mark.parametrize(
    ("engine", "compose", "pace"),
    [
        ("1.45", "2.26.1-4", {"interval": "30s", "start_interval": "1s"}),
        ("1.44", "5.0.1", {"interval": "30s", "start_interval": "1s"}),
        ("1.41", "2.26.1", {"interval": "5s"}),
        ("1.47", "2.23.3", {"interval": "5s"}),
        ("", "", {"interval": "5s"}),
    ],
)
def test_health_is_asked_for_seldom_where_the_engine_can_ask_often_at_the_start(
    engine: str, compose: str, pace: dict[str, str]
) -> None:
    services = rendered(docker_host_seen={"listing": [f"engine|{engine}", f"compose|{compose}"]})["services"]
    for name, service in services.items():
        found = {key: value for key, value in service["healthcheck"].items() if "interval" in key}
        assert found == pace, name


def keeper_of(**variables: Any) -> tuple[list[str], str]:
    """Return the keeper's command, and the document that its environment and the application's name."""
    services = rendered(**variables)["services"]
    told = {services[name]["environment"]["TOKEN_KEEPER_PATH"] for name in ("api", "celery", "keeper")}
    [path] = told
    return services["keeper"]["command"], path


def test_the_keeper_keeps_each_token_of_the_application_s_volume() -> None:
    tokens = [
        {"name": "elsewhere", "volume": "archive", "file": "archive.json"},
        {"name": "reports", "file": "reports.json"},
        {"name": "calendar", "app": True},
        {"name": "mail", "volume": "token-keeper_token_data", "file": "mail.json"},
    ]
    names = ["token.json", "reports.json", "mail.json"]
    paths = [f"/app/tokens/{name}" for name in names]
    assert keeper_of(oauth_tokens=tokens) == (["keep", *paths], paths[0]), "the application's first"
    assert keeper_of(oauth_tokens=[tokens[1], tokens[0]]) == (["keep"], paths[1])
    assert keeper_of(oauth_tokens=tokens, app_stack_token_volume="archive", app_stack_token_file="archive.json") == (
        ["keep"],
        "/app/tokens/archive.json",
    )
    assert keeper_of(oauth_tokens=tokens, token_volume_name="own", token_volume_file="own.json") == (
        ["keep", "/app/tokens/own.json", paths[1]],
        "/app/tokens/own.json",
    )


def test_documents_of_the_keeper_may_be_named() -> None:
    assert keeper_of(app_stack_keeper_files=["reports.json"]) == (
        ["keep", "/app/tokens/token.json", "/app/tokens/reports.json"],
        "/app/tokens/token.json",
    )
    assert keeper_of(app_stack_keeper_files=[]) == keeper_of() == (["keep"], "/app/tokens/token.json")


def test_without_a_keeper_nothing_else_is_another() -> None:
    with_one, without = rendered(), rendered(app_stack_keeper=False)
    assert with_one["services"].pop("keeper")
    assert with_one == without


class Health(BaseHTTPRequestHandler):
    """Answers as the keeper does: well on one path, and otherwise not."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == self.server.well else 503)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("well", "code"), [("/healthz", 0), ("/elsewhere", 1)])
def test_the_keeper_is_healthy_when_it_says_so(well: str, code: int) -> None:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        server.well = well  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever).start()
        kind, program, *arguments = rendered()["services"]["keeper"]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        here = [part.replace("9401", str(server.server_port)) for part in arguments]
        asked = subprocess.run([sys.executable, *here], capture_output=True, text=True, check=False)
        server.shutdown()
    assert (asked.returncode, asked.stderr) == (code, "")
