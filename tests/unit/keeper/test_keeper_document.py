"""The token document: google-auth's own format, and nothing but TokenCorrupt for whatever else comes."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import google.oauth2.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_keeper import TokenDocument, report
from token_keeper.document import MAX_BYTES
from token_keeper.errors import TokenCorrupt

lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001
documents = st.builds(
    TokenDocument,
    token=st.none() | lines,
    refresh_token=lines,
    token_uri=st.sampled_from(
        ["https://oauth2.googleapis.com/token", "http://sandbox:9400/token", "https://[::1]:8/t"]
    ),
    client_id=lines,
    client_secret=lines,
    scopes=st.lists(lines, max_size=4).map(tuple),
    expiry=st.none() | moments.map(lambda moment: moment.replace(tzinfo=UTC, microsecond=0)),
    account=st.just("") | lines,
    universe_domain=st.sampled_from(["googleapis.com", "example.test"]),
    rapt_token=st.none() | lines,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS: dict[str, Any] = {
    "token": "ya29.canary-access",
    "refresh_token": "1//canary-refresh",
    "token_uri": "https://oauth2.googleapis.com/token",
    "client_id": "canary-client-id",
    "client_secret": "canary-client-secret",
    "scopes": ["https://www.googleapis.com/auth/calendar"],
    "universe_domain": "googleapis.com",
    "account": "",
    "expiry": "2026-11-23T10:00:00Z",
}


@given(documents)
def test_a_document_survives_being_written_and_read(document: TokenDocument) -> None:
    again = TokenDocument.parse(document.to_json())
    assert again == document
    assert again.fingerprint == document.fingerprint


@given(documents)
def test_whatever_is_parsed_can_be_told_of(document: TokenDocument) -> None:
    secrets = {"token": "canary-a", "refresh_token": "canary-r", "client_secret": "canary-s", "rapt_token": "canary-p"}
    known = dataclasses.replace(document, **secrets)
    assert "canary-" not in json.dumps(report.describe(TokenDocument.parse(known.to_json())))


@given(documents)
def test_google_auth_reads_what_is_written_and_its_rewrite_is_the_same_document(document: TokenDocument) -> None:
    theirs = google.oauth2.credentials.Credentials.from_authorized_user_info(json.loads(document.to_json()))
    assert theirs.token == document.token
    assert theirs.refresh_token == document.refresh_token
    if document.expiry is not None:
        assert theirs.expiry == document.expiry.replace(tzinfo=None)
    rewritten = google.oauth2.credentials.Credentials(
        theirs.token,
        refresh_token=theirs.refresh_token,
        token_uri=document.token_uri,  # google-auth puts Google's own into what it loads
        client_id=theirs.client_id,
        client_secret=theirs.client_secret,
        scopes=theirs.scopes,
        expiry=theirs.expiry if document.expiry is not None else None,
        rapt_token=theirs.rapt_token,
        universe_domain=theirs.universe_domain,
        account=theirs.account,
    ).to_json()
    assert TokenDocument.parse(rewritten).fingerprint == document.fingerprint


def test_a_document_of_google_auth_is_written_back_byte_for_byte() -> None:
    theirs = google.oauth2.credentials.Credentials(
        "access", refresh_token="r", token_uri="https://t.test/token", client_id="c", client_secret="s",
        scopes=["a", "b"], expiry=datetime(2026, 11, 23, 10, 0, 0), account="p@example.test",  # noqa: DTZ001
    ).to_json()  # fmt: skip
    assert json.loads(TokenDocument.parse(theirs).to_json()) == json.loads(theirs)


@given(st.binary(max_size=200) | st.text(max_size=200) | json_values.map(json.dumps))
def test_junk_is_corrupt_and_nothing_else(data: bytes | str) -> None:
    with pytest.raises(TokenCorrupt) as caught:
        TokenDocument.parse(data)
    assert caught.value.reason
    assert caught.value.remedy


@given(st.sampled_from(sorted(FIELDS)), json_values)
def test_a_field_of_any_kind_is_taken_or_corrupt(name: str, value: Any) -> None:
    try:
        document = TokenDocument.parse(json.dumps({**FIELDS, name: value}))
    except TokenCorrupt as problem:
        assert "canary" not in str(problem)
        assert "canary" not in repr(problem)
        return
    assert TokenDocument.parse(document.to_json()).fingerprint == document.fingerprint
    report.describe(document)


@pytest.mark.parametrize("name", ["refresh_token", "token_uri", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, "", 0, []])
def test_a_field_that_is_needed_and_missing_is_named(name: str, value: Any) -> None:
    with pytest.raises(TokenCorrupt, match=name) as caught:
        TokenDocument.parse(json.dumps({**FIELDS, name: value}))
    assert caught.value.reason == "FieldMissing"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Empty"),
        (b" \n\t", "Empty"),
        (b"{", "NotJSON"),
        (b"\xff\xfe\x00", "NotJSON"),
        (b"[" * 60_000, "NotJSON"),
        (b"9" * 5000, "NotJSON"),
        (b'{"token": "' + b"x" * MAX_BYTES + b'"}', "TooLarge"),
        (b"[]", "NotAnObject"),
        (b"null", "NotAnObject"),
    ],
)
def test_each_kind_of_junk_has_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(TokenCorrupt) as caught:
        TokenDocument.parse(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.test/token", "example.test/token", "https://", "https:///token", "http://[::1/token",
        "https://example.test:port/", "https://example.test:99999/", "https://user:canary@example.test/token",
        "https://canary@example.test/token", "https://example.test/to ken", "https://example.test/\n",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(TokenCorrupt) as caught:
        TokenDocument.parse(json.dumps({**FIELDS, "token_uri": address}))
    assert caught.value.reason == "FieldInvalid"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("scopes", [["a\nb"], ["\ud800"], [""], [1], {"a": 1}, 7])
def test_scopes_that_could_not_be_shown_are_refused(scopes: Any) -> None:
    with pytest.raises(TokenCorrupt):
        TokenDocument.parse(json.dumps({**FIELDS, "scopes": scopes}))


def test_secrets_are_in_no_repr_and_no_message() -> None:
    document = TokenDocument.parse(json.dumps(FIELDS))
    assert "canary" not in repr(document)
    assert "canary" not in str(report.describe(document))
    spoiled = json.dumps(FIELDS)[:-1]
    with pytest.raises(TokenCorrupt) as caught:
        TokenDocument.parse(spoiled)
    assert "canary" not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_fingerprint_ignores_spelling_and_fractions() -> None:
    one = TokenDocument.parse(json.dumps({**FIELDS, "scopes": ["b", "a"], "expiry": "2026-11-23T10:00:00.75Z"}))
    other = TokenDocument.parse(json.dumps({**FIELDS, "scopes": "a b", "expiry": "2026-11-23T11:00:00+01:00", "x": 1}))
    assert one.fingerprint == other.fingerprint
    assert one.expiry == other.expiry


@pytest.mark.parametrize("field", ["token", "refresh_token", "client_id", "client_secret", "token_uri", "account"])
def test_the_fingerprint_sees_each_field(field: str) -> None:
    changed = {**FIELDS, field: str(FIELDS[field]) + "x"}
    same = TokenDocument.parse(json.dumps(FIELDS)).fingerprint
    assert TokenDocument.parse(json.dumps(changed)).fingerprint != same


def test_time_left() -> None:
    now = time.time()
    document = TokenDocument.parse(json.dumps(FIELDS)).with_expires_in(600, now)
    assert 598 < document.expires_in(now) <= 600
    assert TokenDocument.parse(json.dumps({**FIELDS, "token": None})).expires_in(now) == float("-inf")
    assert TokenDocument.parse(json.dumps({**FIELDS, "expiry": None})).expires_in(now) == float("-inf")


@pytest.mark.parametrize(
    "expiry", ["yesterday", "", 5, True, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:00", "2026-13-01"]
)
def test_an_expiry_that_is_no_time(expiry: Any) -> None:
    with pytest.raises(TokenCorrupt, match="expiry"):
        TokenDocument.parse(json.dumps({**FIELDS, "expiry": expiry}))


def test_a_refresh_keeps_what_the_provider_left_out() -> None:
    document = TokenDocument.parse(json.dumps(FIELDS))
    later = datetime.now(UTC) + timedelta(hours=1)
    kept = document.renewed(token="new", refresh_token=None, scopes=None, expiry=later)
    assert (kept.refresh_token, kept.scopes) == (document.refresh_token, document.scopes)
    given_anew = document.renewed(token="new", refresh_token="other", scopes=["x"], expiry=later)
    assert (given_anew.refresh_token, given_anew.scopes) == ("other", ("x",))
