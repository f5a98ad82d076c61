"""Whether the process is alive, whether it can serve, and which processes share the token."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import redis
from fastapi import APIRouter, Response
from pydantic import BaseModel

from calendar_assistant.consumers import Consumer, live_consumers
from calendar_assistant.failures import Failure
from calendar_assistant.services import Assistant, Services, Store
from token_keeper import TokenKeeperError
from token_keeper.errors import TokenCorrupt

router = APIRouter(prefix="/api/v1/health", tags=["health"])

_BOUND = 2.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One thing the API depends on."""

    name: str
    ok: bool
    reason: str
    message: str


class Readiness(BaseModel):
    """Whether the API can serve, and what stands in the way."""

    status: Literal["ready", "unready"]
    checks: list[Check]


class Consumers(BaseModel):
    """The processes that use the token."""

    consumers: list[Consumer]


@router.get("")
async def alive() -> Alive:
    """Tell that the process is alive; depends on nothing else."""
    return Alive()


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(assistant: Assistant, response: Response) -> Readiness:
    """Tell whether Redis is in reach and the token valid, or to be renewed by the next request.

    Nothing is exchanged. A document that somebody has torn is mended from the history, as any request would.
    """
    checks = list(await asyncio.gather(_redis(assistant), _token(assistant)))
    fine = all(check.ok for check in checks)
    response.status_code = 200 if fine else 503
    response.headers["Cache-Control"] = "no-store"
    return Readiness(status="ready" if fine else "unready", checks=checks)


@router.get("/consumers")
async def consumers(assistant: Assistant, response: Response) -> Consumers:
    """List the processes that have sent a heartbeat within the last seconds, with the generation each one sees."""
    response.headers["Cache-Control"] = "no-store"
    return Consumers(consumers=await live_consumers(assistant.redis))


async def _redis(assistant: Services) -> Check:
    try:
        async with asyncio.timeout(_BOUND):
            await assistant.redis.ping()
    except (redis.RedisError, OSError, TimeoutError) as error:
        return Check(name="redis", ok=False, reason="RedisUnreachable", message=type(error).__name__)
    return Check(name="redis", ok=True, reason="Reachable", message="Redis answers")


async def _token(assistant: Services) -> Check:
    try:
        status = await assistant.volume_calls.run(lambda: _look(assistant.store), timeout=_BOUND)
    except (TokenKeeperError, Failure) as error:
        return Check(name="token", ok=False, reason=error.reason, message=str(error))
    failures, left = status["failures"], status["document"].get("expires_in") or 0
    conditions = {condition["type"]: condition for condition in status["conditions"]}
    for name, bad in (("ReauthRequired", "True"), ("Ready", "False")):
        found = conditions.get(name)
        if not status["healthy"] and found is not None and found["status"] == bad:
            message = f"{found['message']}; run site.yml"
            return Check(name="token", ok=False, reason=found["reason"], message=message)
    if not status["healthy"] and (left > 0 or not failures):
        message = "the token can't be used; token-keeper doctor says more"
        return Check(name="token", ok=False, reason="NotHealthy", message=message)
    if left > 0:
        return Check(name="token", ok=True, reason="Valid", message=f"the access token is valid for {left} s")
    over = "the access token is over"
    if failures and status["cooldown_until"] is not None:
        message = f"{over}; {failures} renewals in a row failed, and no request renews it before the back-off's end"
        return Check(name="token", ok=False, reason="RenewalFailing", message=f"{message}, {status['cooldown_until']}")
    # Ready all the same, after failures too: were no request let in, none would renew it.
    so_far = f", as {failures} in a row failed to do" if failures else ""
    message = f"{over}; the next request that needs it renews it{so_far}"
    return Check(name="token", ok=True, reason="RenewalDue", message=message)


def _look(store: Store) -> dict[str, Any]:
    try:
        store.snapshot()  # says with a remedy why there is no sound document
    except TokenCorrupt:
        store.access_token()  # mends it: a proxy that waits for readiness keeps away the requests that would
    return store.status().as_dict()
