"""Every error of the API in one shape: ``{"error": {"type", "reason", "message", "remedy"}}``."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kombu.exceptions import OperationalError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from calendar_assistant.failures import Failure
from calendar_assistant.token_failures import token_failure
from token_keeper import TokenKeeperError

logger = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What went wrong, where, and what to do next."""

    type: str
    reason: str
    message: str
    remedy: str = ""


class ErrorReply(BaseModel):
    """The body of every reply that is an error."""

    error: ErrorDetail


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error in the one shape."""
    app.add_exception_handler(Failure, _failure)
    app.add_exception_handler(TokenKeeperError, _token_error)
    app.add_exception_handler(redis.RedisError, _queue_error)
    app.add_exception_handler(OperationalError, _queue_error)
    app.add_exception_handler(RequestValidationError, _bad_input)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


def reply(failure: Failure) -> JSONResponse:
    """Return the reply for a failure, with ``Retry-After`` (RFC 9110 section 10.2.3) where waiting helps."""
    headers = {"Cache-Control": "no-store"}
    if failure.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after)))
    return JSONResponse({"error": failure.as_dict()}, failure.status, headers)


def queue_failure(error: Exception) -> Failure:
    """Return the failure for Redis being out of reach."""
    return Failure(
        "QueueUnavailable",
        type(error).__name__,
        "Redis can't be reached, so nothing was queued or looked up",
        "try again; if it lasts, look at the redis container",
        retry_after=2.0,
    )


async def _failure(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)  # noqa: S101 - registered for this type
    return reply(error)


async def _token_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TokenKeeperError)  # noqa: S101 - registered for this type
    return reply(token_failure(error))


async def _queue_error(_: Request, error: Exception) -> JSONResponse:
    return reply(queue_failure(error))


async def _bad_input(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    # the input itself is not sent back
    told = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
    return reply(Failure("BadInput", "ValidationFailed", told, "see /docs for what is expected", status=422))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    phrase = HTTPStatus(error.status_code).phrase
    failure = Failure("HttpError", phrase.title().replace(" ", ""), str(error.detail), "see /docs", error.status_code)
    answer = reply(failure)
    answer.headers.update(error.headers or {})
    return answer


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    # the traceback is logged by the server, without the values of variables
    logger.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    return reply(Failure("InternalError", "Unforeseen", "an unforeseen error", "look at the api's log", status=500))
