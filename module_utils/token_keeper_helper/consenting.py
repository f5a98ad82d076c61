"""From a client and its scopes to a token in a volume, by a person's consent if there is no other way.

This runs on the controller, and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from token_keeper.consent import missing_scopes
from token_keeper.document import TokenDocument
from token_keeper.errors import ConsentError, TokenKeeperError

from . import grant, two_runs
from .asking import Person, asked, mode_of
from .engine_errors import no_volume
from .failure import ModuleFailure
from .helper import Helper, Outward
from .outcome import Outcome
from .question import Request
from .turns import turn

_STAGED = ("state", "reason", "since", "by", "grant", "against")
"""What a result says of what is staged; its document is in ``after``."""


def settle(
    parameters: dict[str, Any],
    client_secrets: tuple[Any, str],
    helper: Helper,
    outward: Outward,
    person: Person,
    *,
    check_mode: bool,
) -> dict[str, Any]:
    """Make sure that the volume holds a token that a person has consented to, and return the task's result.

    Args:
        parameters: the task's parameters.
        client_secrets: the client's JSON, as text or decoded, and where it came from.
        helper: reaches the volume.
        outward: how a helper reaches the provider, for a consent in two runs.
        person: is asked to consent, if it has to be.
        check_mode: ask nobody and change nothing.

    Raises:
        ModuleFailure: the options or the volume can't be used, the consent was not given as it was asked for, or the
            volume holds something newer than what was seen before. The volume is as it was. So it is where a person has
            to open an address first (``ConsentPending``).
    """
    try:
        request = Request.parse(parameters, *client_secrets)
        return _bring_about(request, helper, outward, person, check_mode=check_mode).as_result()
    except TokenKeeperError as error:
        if check_mode and error.reason == "ClientSecretsMissing":
            # a provider that this very play brings up has none to give before a real run
            said = f"nothing could be compared in check mode: {error}"
            return {"changed": True, "reason": error.reason, "warnings": [said]}
        raise ModuleFailure(type(error).__name__, error.reason, error.message, error.remedy) from None


def _bring_about(request: Request, helper: Helper, outward: Outward, person: Person, *, check_mode: bool) -> Outcome:
    header = f"{helper.file} in volume {helper.volume}"
    status = _known(request) or _status(helper, check_mode=check_mode)
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
        return _noted(request, _declared(request, helper, status, stays, check_mode=check_mode))
    mode = mode_of(request.parameters["consent"], request.parameters["browser"], at_terminal=person.at_terminal)
    _require_somebody_to_ask(mode, verdict, request, helper)
    if not status["volume"]["writable"]:
        raise ModuleFailure(
            "StorageError",
            "NotWritable",
            f"the volume {helper.volume} is not writable for uid {helper.uid}, so nobody was asked to consent",
            "initialise it with the role token_volume, or correct uid, gid or the volume's driver options",
        )
    if check_mode:
        after = current if request.stages else request.expected
        return _would(Outcome(True, verdict.reason, header, current, after, generation), verdict.because)
    if mode == "two_step" or request.answers:
        reply = _in_two_runs(request, helper, outward, status)
    else:
        inquiry = request.settled_inquiry()
        with turn(person.folder, lambda: person.announce("Consent for another host is under way; this one waits.")):
            consent = asked(mode, inquiry, person, request.parameters)
        reply = {**_put(request, helper, status, consent.document), "warnings": consent.warnings}
    return _outcome(request, verdict, header, reply)


def _require_somebody_to_ask(mode: str, verdict: grant.Verdict, request: Request, helper: Helper) -> None:
    if mode == "none":
        raise ConsentError(
            f"volume {helper.volume}: {verdict.because}, and consent is none",
            reason="ConsentNeeded",
            remedy="run the play where a person can consent, with consent=auto, or push a token with token_volume",
        )
    if request.parameters["consent"] == "loopback" and request.answers:
        raise ConsentError(
            f"volume {helper.volume}: an answer was given, as for a consent in two runs, and consent is loopback",
            reason="AnswerUnexpected",
            remedy="leave out oauth_token_answer, or set oauth_token_consent to two_step",
        )


def _in_two_runs(request: Request, helper: Helper, outward: Outward, status: dict[str, Any]) -> dict[str, Any]:
    """Show the question that waits in the volume, or have its answer redeemed there."""
    # to be answered, a question need not be good for longer than this
    begun = two_runs.begun(request.question, helper, outward, left=0 if request.answers else two_runs.LEFT)
    answer = two_runs.fitting(request.answers, begun["url"])
    if answer is None:
        if request.answers and begun["expires_in"] < two_runs.LEFT:
            begun = two_runs.begun(request.question, helper, outward)
        place = f"{helper.file} in volume {helper.volume}"
        raise two_runs.ConsentPending(begun, place, unfit=bool(request.answers))
    options = ["--stage"] if request.stages else [f"--{name}={value}" for name, value in request.declared.items()]

    def complete(seen: dict[str, Any]) -> dict[str, Any]:
        expect = f"--expect={_generation(seen)}"
        return two_runs.completed(request.client, answer, helper, outward, [expect, *options])

    try:
        return complete(status)
    except ModuleFailure as failure:
        # a renewal in the meantime is told before the code is spent
        now = helper.run("status") if failure.reason == "GenerationChanged" else None
        if now is None or not _is_as_before(request, status, now):
            raise
        return complete(now)


def _outcome(request: Request, verdict: grant.Verdict, header: str, reply: dict[str, Any]) -> Outcome:
    """Return what came of a consent: the document is there, or staged beside the one that is."""
    more = {"warnings": [f"{said[0].upper()}{said[1:]}." for said in reply["warnings"]]} if reply["warnings"] else {}
    if not request.stages:
        return Outcome(True, verdict.reason, header, reply["before"], reply["after"], reply["generation"], more=more)
    if reply["reason"] == "Current":
        raise ConsentError(
            f"{header}: the provider has given the refresh token again that is current there, so there is no new grant",
            reason="SameGrant",
            remedy="nothing was changed. Withdraw the app's access in the account's settings first, if it has to be"
            " another one; to renew the access token, mode=refresh is enough",
        )
    staged = reply["staged"] or {}
    return Outcome(
        reply["changed"],
        "Staged",
        f"{header}, staged",
        reply["before"],
        reply["after"],
        reply["generation"],
        more={**more, "staged": {name: staged[name] for name in _STAGED if name in staged}},
    )


def _judge(request: Request, status: dict[str, Any]) -> grant.Verdict:
    reconsent = request.parameters["reconsent"] or request.stages
    return grant.judge(status, request.wanted, missing_scopes, reconsent=reconsent)


def _noted(request: Request, outcome: Outcome) -> Outcome:
    """Say what could not be compared."""
    if request.unsettled is None:
        return outcome
    said = f"the token endpoint in the document could not be compared with the provider's: {request.unsettled.message}"
    return dataclasses.replace(outcome, more={**outcome.more, "warnings": [said]})


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
    other = _undeclared(request, status)
    if not other:
        return outcome
    options = [f"--{name}={value}" for name, value in other.items()]
    reply = helper.run("policy", *options, *(["--dry-run"] if check_mode else []))
    return dataclasses.replace(
        outcome,
        changed=outcome.changed or reply["changed"],
        reason="PolicyChanged" if reply["changed"] and not outcome.changed else outcome.reason,
        generation=reply["generation"],
        policy_before=reply["before"],
        policy_after=reply["after"],
    )


def _undeclared(request: Request, status: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be declared of the provider and is not yet."""
    wanted = dict(request.declared)
    if wanted.get("rotation") == "unknown":
        del wanted["rotation"]
    return {name: value for name, value in wanted.items() if value != status[name.replace("-", "_")]}


def _would(outcome: Outcome, because: str) -> Outcome:
    return dataclasses.replace(outcome, more={"msg": f"A person would be asked to consent: {because}."})


def _known(request: Request) -> dict[str, Any] | None:
    """Return the status that the playbook has seen, where by it nothing is to be done; else nobody relies on it."""
    seen: dict[str, Any] | None = request.parameters["seen"]
    if not seen or _judge(request, seen).needed or not seen["document"].get("settled", True):
        return None
    return None if _undeclared(request, seen) else seen


def _status(helper: Helper, *, check_mode: bool) -> dict[str, Any] | None:
    if helper.engine.volume(helper.volume) is None:
        if check_mode:
            return None
        raise no_volume(helper.volume)
    return helper.run("status")


def _put(request: Request, helper: Helper, status: dict[str, Any], document: TokenDocument) -> dict[str, Any]:
    """Put the document where the one that was seen before the consent is, and nowhere else; or beside it."""
    options = []
    left = document.expires_in(time.time())
    if document.expiry is not None:
        options.append(f"--expires-in={max(0, int(left))}")
    secret = document.to_json().encode()
    if request.stages:
        # in the place of one that waited there: a person has just consented, and that can't be had again
        return helper.run("stage", "--reason=reconsent", "--force", *options, stdin=secret)
    options += [f"--{name}={value}" for name, value in request.declared.items()]
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
