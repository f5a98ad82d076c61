"""Understands the text of a request: with the language model where there is one, else by grammar."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from calendar_assistant.event_draft import EventDraft
from calendar_assistant.language_model import LanguageModel, ModelUnusable
from calendar_assistant.sentence import draft_from_sentence

logger = logging.getLogger(__name__)

Reader = Callable[[str, datetime], EventDraft]
"""Takes the text and the moment at which it was said; raises ``Failure`` if it can't be an event."""


def make_reader(timezone: ZoneInfo, model: LanguageModel | None = None) -> Reader:
    """Return a reader for texts in ``timezone``; a model that fails is passed over with a logged reason."""

    def read(text: str, now: datetime) -> EventDraft:
        if model is not None:
            try:
                return model.draft(text, now, timezone)
            except ModelUnusable as problem:
                logger.warning("the language model is passed over for the parser: %s", problem)
        return draft_from_sentence(text, now, timezone)

    return read
