"""The page: escaped, self-contained, and honest about what happened."""

from __future__ import annotations

from html.parser import HTMLParser
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_keeper.consent import page
from token_keeper.errors import ConsentError


class Reader(HTMLParser):
    """Collects the tags, their attributes and the texts of a page."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.texts: list[str] = []
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


PAGES = [
    page.granted(("a", "b")),
    page.failed(ConsentError("it went wrong", remedy="mend it")),
    page.interrupted(),
    page.stray(HTTPStatus.NOT_FOUND),
    page.late(),
]


@pytest.mark.parametrize("content", PAGES, ids=lambda content: content.title)
def test_nothing_from_elsewhere(content: page.Page) -> None:
    reader = Reader(content.html())

    assert not {"script", "img", "link", "iframe", "form", "a", "base"} & set(reader.tags)
    assert not {"src", "href", "action", "style", "onload"} & set(reader.attributes)
    assert content.title in reader.texts


def test_failure_says_what_and_what_next() -> None:
    html = page.failed(ConsentError("it went wrong", remedy="mend it")).html().decode()

    assert "What happened: it went wrong." in html
    assert "What to do: mend it." in html


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_text_is_escaped(text: str) -> None:
    hostile = f"<script>{text}</script><img src=x onerror={text}>&amp;"
    reader = Reader(page.failed(ConsentError(hostile)).html())

    assert not {"script", "img"} & set(reader.tags)
    assert f"What happened: {hostile}." in "".join(reader.texts)
