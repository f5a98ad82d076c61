"""A person whose browser finds nothing at the redirect: what its address bar says at the end."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from sandbox_provider.person import ConsentForm, Wishes, _step


def ends_at(url: str, wishes: Wishes | None = None) -> str:
    """Return the address at which a browser ends that opens ``url``, at the redirect or at a page of the provider."""
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    form: bytes | None = None
    for _ in range(10):
        if url.startswith(redirect):
            return url
        status, location, page = _step(url, form, {"Prefer": "consent-page"} if wishes else {})
        form = None
        consent = ConsentForm(page)
        if location is not None:
            url = urljoin(url, location)
        elif consent.found and status == 200:
            form = urlencode(consent.filled_in(wishes or Wishes())).encode()
        else:
            return url
    raise AssertionError("the redirects don't end")
