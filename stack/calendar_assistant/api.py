"""The API: ``uvicorn --factory calendar_assistant.api:create_app``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from calendar_assistant import error_replies
from calendar_assistant.logs import set_up_logging
from calendar_assistant.routes import calendar, events, health
from calendar_assistant.services import Services, Store
from calendar_assistant.settings import Settings


def create_app(settings: Settings | None = None, store: Store | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: read from the environment by default.
        store: the token store; by default the one that the settings name.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        set_up_logging()
        services = Services.open(chosen, store)
        app.state.services = services
        services.heartbeat.start()
        try:
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="Calendar Assistant",
        summary="Events in plain English, written with a token that Token Keeper keeps fresh",
        version="0.1.0",
        lifespan=lifespan,
    )
    # a page on a rebound host name could otherwise talk to the port on loopback as if it were its own server
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(chosen.api_allowed_hosts), www_redirect=False)
    error_replies.install(app)
    for subject in (health, events, calendar):
        app.include_router(subject.router)
    app.add_api_route("/", _to_the_description, include_in_schema=False)
    return app


async def _to_the_description() -> RedirectResponse:
    return RedirectResponse("/docs")
