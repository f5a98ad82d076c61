"""The client's JSON: every form it comes in, and every way in which it is not one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_keeper.consent import ClientSecrets
from token_keeper.errors import ConsentError

FIELDS = {
    "client_id": "1234.apps.example",
    "client_secret": "canary-client-secret",
    "auth_uri": "https://accounts.google.com/o/oauth2/auth",
    "token_uri": "https://oauth2.googleapis.com/token",
    "redirect_uris": ["http://localhost"],
}


@pytest.mark.parametrize("form", [dict, json.dumps, lambda fields: json.dumps(fields).encode()])
@pytest.mark.parametrize("wrapper", ["installed", "web", None])
def test_reads_every_form(form: Any, wrapper: str | None) -> None:
    secrets = ClientSecrets.parse(form({wrapper: FIELDS} if wrapper else FIELDS), "client_secret.json")

    assert secrets.client_id == FIELDS["client_id"]
    assert secrets.client_secret == FIELDS["client_secret"]
    assert secrets.auth_uri == FIELDS["auth_uri"]
    assert secrets.token_uri == FIELDS["token_uri"]
    assert secrets.redirect_uris == ("http://localhost",)
    assert secrets.kind == (wrapper or "installed")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_reads_what_editors_write(encoding: str) -> None:
    named = {**FIELDS, "project_id": "Zürich"}

    written = json.dumps(named, ensure_ascii=False).encode(encoding)
    assert ClientSecrets.parse(written, "x").client_secret == FIELDS["client_secret"]


def test_reads_text_with_a_byte_order_mark() -> None:
    assert ClientSecrets.parse("\ufeff" + json.dumps(FIELDS), "x").client_id == FIELDS["client_id"]


def test_endpoints_may_be_absent() -> None:
    secrets = ClientSecrets.parse({"client_id": "a", "client_secret": "b"}, "x")

    assert (secrets.auth_uri, secrets.token_uri, secrets.issuer) == (None, None, None)


def test_repr_hides_the_secret() -> None:
    assert "canary" not in repr(ClientSecrets.parse(FIELDS, "x"))


@pytest.mark.parametrize("nothing", [None, "", b"", "  \n", {}])
def test_missing(nothing: Any) -> None:
    with pytest.raises(ConsentError, match=r"vault/client\.json: there are no client secrets") as caught:
        ClientSecrets.parse(nothing, "vault/client.json")

    assert caught.value.reason == "ClientSecretsMissing"
    assert "Desktop app" in caught.value.remedy


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"installed": canary', "not JSON"),
        (b"\xff\xfe canary", "not text"),
        (b'{"client_id": "\xe9canary"}', "not text"),
        (b"\x80\x04\x95canary", "not text"),
        (b"\x00\x01canary", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["canary"]', "not a JSON object"),
        ('"canary"', "not a JSON object"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3132", "still encrypted"),
        ({"installed": "canary"}, "installed that is not an object"),
        ({"web": ["canary"]}, "web that is not an object"),
        ({"installed": {"client_id": "canary"}}, "lack client_secret"),
        ({"installed": {"client_secret": "canary"}}, "lack client_id"),
        ({"something": "canary"}, "lack client_id and client_secret"),
        ({**FIELDS, "client_secret": ["canary"]}, "client_secret that is not one line"),
        ({**FIELDS, "client_secret": "canary\n"}, "client_secret that is not one line"),
        ({**FIELDS, "client_id": " canary"}, "client_id that is not one line"),
        ({**FIELDS, "auth_uri": 7}, "auth_uri that is not one line"),
        ({**FIELDS, "redirect_uris": "canary"}, "redirect_uris that are not a list"),
        ({**FIELDS, "redirect_uris": [1]}, "redirect_uris that are not a list"),
        ({"type": "service_account", "private_key": "canary"}, "service account"),
        ({"type": "authorized_user", "refresh_token": "canary", **FIELDS}, "token document"),
    ],
)
def test_malformed(data: Any, said: str) -> None:
    with pytest.raises(ConsentError, match=said) as caught:
        ClientSecrets.parse(data, "vault/client.json")

    assert caught.value.reason == "ClientSecretsMalformed"
    assert str(caught.value).startswith("vault/client.json: ")
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*FIELDS, "installed", "web", "type"]), inner),
    max_leaves=12,
)


@given(json_values)
def test_anything_is_read_or_refused(value: Any) -> None:
    try:
        secrets = ClientSecrets.parse(json.dumps(value), "x")
    except ConsentError as error:
        assert error.reason in {"ClientSecretsMissing", "ClientSecretsMalformed"}
    else:
        assert secrets.client_id
        assert secrets.client_secret


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused(data: str | bytes) -> None:
    with pytest.raises(ConsentError):
        ClientSecrets.parse(data, "x")
