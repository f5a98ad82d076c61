"""From a client and its scopes to a token in a volume, by a person's consent if there is no other way.

This runs on the controller, and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from token_keeper.consent import ClientSecrets, missing_scopes, obtain
from token_keeper.consent.endpoint import Endpoints
from token_keeper.consent.request import checked_parameters
from token_keeper.document import TokenDocument
from token_keeper.errors import ConsentError, TokenKeeperError

from . import grant, rendering
from .engine_errors import no_volume
from .failure import ModuleFailure
from .helper import Helper
from .outcome import Outcome
from .turns import turn


@dataclasses.dataclass(frozen=True)
class Person:
    """Whoever runs the play.

    Attributes:
        announce: shows a text.
        folder: where the hosts of a run queue for the person, on the controller.
    """

    announce: Callable[[str], None]
    folder: Path


@dataclasses.dataclass(frozen=True)
class Request:
    """What a task asks for, checked; see the options of ``oauth_token``."""

    client: ClientSecrets
    endpoints: Endpoints
    scopes: tuple[str, ...]
    account: str | None
    extra_params: dict[str, str | None]
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, parameters: dict[str, Any], client_secrets: Any, where: str) -> Request:
        """Check everything that can be checked without asking anybody.

        Args:
            parameters: the task's parameters.
            client_secrets: the client's JSON, as text or decoded.
            where: where it came from, for a message.

        Raises:
            ConsentError: client secrets, scopes, endpoints or extra parameters can't be used.
        """
        client = ClientSecrets.parse(client_secrets, where)
        endpoints = Endpoints.choose(
            client,
            auth_uri=parameters["auth_uri"],
            token_uri=parameters["token_uri"],
            document_token_uri=parameters["consumer_token_uri"],
            issuer=parameters["issuer"],
            allow_http=parameters["allow_http"],
        )
        scopes = tuple(scope for scope in parameters["scopes"] if scope)
        if not scopes:
            raise ConsentError(
                "there are no scopes to ask for",
                reason="ScopesInvalid",
                remedy="give a list, such as [https://www.googleapis.com/auth/calendar]",
            )
        extra_params = checked_parameters(parameters["extra_params"] or {})
        return cls(client, endpoints, scopes, parameters["account"], extra_params, parameters)

    @property
    def wanted(self) -> grant.Wanted:
        """What the document in the volume has to be."""
        return grant.Wanted(
            self._stand_in.client_fingerprint, self.scopes, self.endpoints.document_token_uri, self.account
        )

    @property
    def expected(self) -> dict[str, Any]:
        """What is known of the document before there is one."""
        return {
            "state": "sound",
            "client_fingerprint": self._stand_in.client_fingerprint,
            "token_uri": self.endpoints.document_token_uri,
            "scopes": list(self.scopes),
            "account": self.account or "",
        }

    @property
    def _stand_in(self) -> TokenDocument:
        return TokenDocument(
            token=None,
            refresh_token="",
            token_uri=self.endpoints.document_token_uri,
            client_id=self.client.client_id,
            client_secret=self.client.client_secret,
        )


def settle(
    parameters: dict[str, Any],
    client_secrets: tuple[Any, str],
    helper: Helper,
    person: Person,
    *,
    check_mode: bool,
) -> dict[str, Any]:
    """Make sure that the volume holds a token that a person has consented to, and return the task's result.

    Args:
        parameters: the task's parameters.
        client_secrets: the client's JSON, as text or decoded, and where it came from.
        helper: reaches the volume.
        person: is asked to consent, if it has to be.
        check_mode: ask nobody and change nothing.

    Raises:
        ModuleFailure: the options or the volume can't be used, the consent was not given as it was asked for, or the
            volume holds something newer than what was seen before. The volume is as it was.
    """
    try:
        request = Request.parse(parameters, *client_secrets)
        return _bring_about(request, helper, person, check_mode=check_mode).as_result()
    except TokenKeeperError as error:
        if check_mode and error.reason == "ClientSecretsMissing":
            # a provider that this very play brings up has none to give before a real run
            said = f"nothing could be compared in check mode: {error}"
            return {"changed": True, "reason": error.reason, "warnings": [said]}
        raise ModuleFailure(type(error).__name__, error.reason, error.message, error.remedy) from None


def _bring_about(request: Request, helper: Helper, person: Person, *, check_mode: bool) -> Outcome:
    header = f"{helper.file} in volume {helper.volume}"
    status = _status(helper, check_mode=check_mode)
    if status is None:
        return _would(Outcome(True, "VolumeMissing", header, after=request.expected), "there is no volume yet")
    _refuse_what_is_no_file(helper, status)
    before, verdict = status["document"], _judge(request, status)
    if (verdict.needed or not before.get("settled", True)) and _may_be_settled(status):
        status = _settled(helper, status, check_mode=check_mode)
        verdict = _judge(request, status)
    current, generation = status["document"], status["generation"]
    if not verdict.needed:
        mended = before.get("fingerprint") != current["fingerprint"]
        reason = "Mended" if mended else verdict.reason
        stays = Outcome(mended, reason, header, before, current, generation)
        return _declared(request, helper, status, stays, check_mode=check_mode)
    if request.parameters["consent"] == "none":
        raise ConsentError(
            f"volume {helper.volume}: {verdict.because}, and consent is none",
            reason="ConsentNeeded",
            remedy="run the play where a person can consent, with consent=loopback, or push a token with token_volume",
        )
    if not status["volume"]["writable"]:
        raise ModuleFailure(
            "StorageError",
            "NotWritable",
            f"the volume {helper.volume} is not writable for uid {helper.uid}, so nobody was asked to consent",
            "initialise it with the role token_volume, or correct uid, gid or the volume's driver options",
        )
    if check_mode:
        return _would(Outcome(True, verdict.reason, header, current, request.expected, generation), verdict.because)
    with turn(person.folder, lambda: person.announce("Consent for another host is under way; this one waits.")):
        document = _ask(request, person.announce)
    reply = _push(request, helper, status, document)
    return Outcome(True, verdict.reason, header, reply["before"], reply["after"], reply["generation"])


def _judge(request: Request, status: dict[str, Any]) -> grant.Verdict:
    return grant.judge(status, request.wanted, missing_scopes, reconsent=request.parameters["reconsent"])


def _refuse_what_is_no_file(helper: Helper, status: dict[str, Any]) -> None:
    """Raise if a directory stands in the document's place: no push would replace it."""
    document = status["document"]
    if document.get("reason") == "NotAFile":
        raise ModuleFailure(
            "TokenCorrupt",
            "NotAFile",
            f"volume {helper.volume}: {document['message']}, so nobody was asked to consent",
            "look into it and move it away, then run the play again",
        )


def _may_be_settled(status: dict[str, Any]) -> bool:
    """Tell whether a writer could find something to finish or to mend, and could do so."""
    was_never_used = status["document"]["state"] == "missing" and not status["generation"]
    return bool(status["volume"]["writable"]) and not was_never_used


def _settled(helper: Helper, status: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Have done first what the first writer after a consent would do, and return the status after it.

    It finishes what a writer that died had begun, adopts what a foreign one left, or mends it from the history. Done
    by the push itself, it would leave a document that the consent was not asked for, and the push would be refused.
    """
    if not check_mode:
        helper.run("policy")  # without options it declares nothing, but it does take the lock and settle
        return helper.run("status")
    there = helper.run("clear", "--dry-run")  # the one dry run that tells which document it would find
    document = status["document"]
    if there["before"] is not None:
        document = {**document, **there["before"], "settled": True}
    elif document["state"] == "sound":
        document = {"state": "missing", "settled": False, "message": "the document there was taken away on purpose"}
    return {**status, "document": document, "generation": there["generation"]}


def _declared(
    request: Request, helper: Helper, status: dict[str, Any], outcome: Outcome, *, check_mode: bool
) -> Outcome:
    """Bring what is declared of the provider up to date, beside a document that stays.

    ``unknown`` takes nothing back: exchanges may have shown by now whether the provider rotates.
    """
    wanted = {name: request.parameters[name] for name in ("rotation", "reuse_grace")}
    if wanted["rotation"] == "unknown":
        wanted["rotation"] = None
    other = {name: value for name, value in wanted.items() if value is not None and value != status[name]}
    if not other:
        return outcome
    options = [f"--{name.replace('_', '-')}={value}" for name, value in other.items()]
    reply = helper.run("policy", *options, *(["--dry-run"] if check_mode else []))
    return dataclasses.replace(
        outcome,
        changed=outcome.changed or reply["changed"],
        reason="PolicyChanged" if reply["changed"] and not outcome.changed else outcome.reason,
        generation=reply["generation"],
        policy_before=reply["before"],
        policy_after=reply["after"],
    )


def _would(outcome: Outcome, because: str) -> Outcome:
    return dataclasses.replace(outcome, more={"msg": f"A person would be asked to consent: {because}."})


def _status(helper: Helper, *, check_mode: bool) -> dict[str, Any] | None:
    if helper.engine.volume(helper.volume) is None:
        if check_mode:
            return None
        raise no_volume(helper.volume)
    return helper.run("status")


def _ask(request: Request, announce: Callable[[str], None]) -> TokenDocument:
    parameters = request.parameters
    try:
        document = obtain(
            request.client,
            request.scopes,
            announce=announce,
            auth_uri=request.endpoints.auth_uri,
            token_uri=request.endpoints.token_uri,
            document_token_uri=request.endpoints.document_token_uri,
            issuer=request.endpoints.issuer,
            redirect_port=parameters["redirect_port"],
            timeout=parameters["timeout"],
            browser=parameters["browser"],
            login_hint=request.account,
            allow_http=parameters["allow_http"],
            extra_params=request.extra_params,
        )
    except TokenKeeperError:
        raise
    except Exception as error:  # a library's message may hold what it choked on
        said = rendering.redact(f"{type(error).__name__}: {error}", [request.client.client_secret])
        raise ModuleFailure(
            "ConsentError",
            "Unexpected",
            f"the consent ended unexpectedly: {said}",
            "run the play again; nothing was changed",
        ) from None
    return dataclasses.replace(document, account=request.account or document.account)


def _push(request: Request, helper: Helper, status: dict[str, Any], document: TokenDocument) -> dict[str, Any]:
    """Put the document where the one that was seen before the consent is, and nowhere else."""
    options = []
    left = document.expires_in(time.time())
    if document.expiry is not None:
        options.append(f"--expires-in={max(0, int(left))}")
    for name in ("rotation", "reuse_grace"):
        if request.parameters[name] is not None:
            options.append(f"--{name.replace('_', '-')}={request.parameters[name]}")
    secret = document.to_json().encode()
    try:
        return helper.run("push", f"--expect={_generation(status)}", *options, stdin=secret)
    except ModuleFailure as failure:
        if failure.reason != "GenerationChanged":
            raise
        now = helper.run("status")
        if not _is_as_before(request, status, now):
            raise
        return helper.run("push", f"--expect={_generation(now)}", *options, stdin=secret)


def _is_as_before(request: Request, seen: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether what changed while a person consented is no more than a number, or a renewal of the same grant.

    A document that a foreign writer left is counted as a generation by the first writer that comes after, and the
    consumers go on renewing a token that is about to be replaced.
    """
    if now["document"].get("fingerprint") == seen["document"].get("fingerprint"):
        return True
    same_grant = seen["document"]["state"] == "sound" and seen["grant"] is not None and now["grant"] == seen["grant"]
    return same_grant and _judge(request, now).reason == _judge(request, seen).reason


def _generation(status: dict[str, Any]) -> int:
    generation: int = status["generation"]
    return generation if status["document"]["state"] == "sound" else 0
