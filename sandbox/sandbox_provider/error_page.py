"""The page on which Google says that it can't or won't send a person back to the app."""

from __future__ import annotations

from flask import Response, make_response, render_template, request


def error_page(status: int, error: str, description: str) -> Response:
    """Return the page.

    Args:
        status: its HTTP status, which the page names too.
        error: the word that people search for, such as ``redirect_uri_mismatch``.
        description: what is wrong, in a sentence.
    """
    page = render_template(
        "error.html",
        status=status,
        error=error,
        description=description,
        redirect_uri=request.args.get("redirect_uri", ""),
    )
    return make_response(page, status)
