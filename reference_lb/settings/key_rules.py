"""What may go together where the key is in a header or in the URL."""

from __future__ import annotations

from collections.abc import Iterator

from limpet.reference_lb.settings.config import Affinity, Url
from limpet.reference_lb.settings.problems import Problem

_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
_OWN = ("host", "cookie", "set-cookie", "date", "content-length", "x-forwarded-for")


def key_problems(affinity: Affinity) -> Iterator[Problem]:
    """Everything about `affinity.header` and `affinity.url`."""
    if affinity.mode == "header":
        yield from _header(affinity)
    elif affinity.header is not None:
        yield Problem("affinity.header", f'it needs mode = "header", and mode is "{affinity.mode}"')
    if affinity.mode == "url":
        yield from _url(affinity)
    elif affinity.url is not None:
        yield Problem("affinity.url", f'it needs mode = "url", and mode is "{affinity.mode}"')
    if affinity.mode in ("header", "url", "tls-session-id"):
        if affinity.clock == "session" and affinity.mode != "tls-session-id":
            yield Problem(
                "affinity.clock", f'"session" needs a cookie; with mode = "{affinity.mode}" use "idle" or "absolute"'
            )
        if affinity.reaction.bad_cookie == "refuse":
            yield Problem(
                "affinity.reaction.bad_cookie",
                '"refuse" needs mode = "lb-cookie": an invented id looks like one whose pin has ended',
            )


def _header(affinity: Affinity) -> Iterator[Problem]:
    if affinity.header is None:
        yield Problem("affinity.header.name", 'it is missing: mode = "header" needs the header that holds the key')
        return
    name = affinity.header.name.lower()
    if name in _HOP_BY_HOP:
        yield Problem(
            "affinity.header.name", f'"{affinity.header.name}" ends at each hop (RFC 9110 section 7.6.1): no key'
        )
    elif name in _OWN:
        yield Problem("affinity.header.name", f'"{affinity.header.name}" has a meaning of its own in HTTP: no key')


def _url(affinity: Affinity) -> Iterator[Problem]:
    url = affinity.url
    if url is None or (url.path_parameter is None and url.query is None):
        yield Problem("affinity.url", 'mode = "url" needs path_parameter, query, or both: where the id is')
        return
    if affinity.application is None:
        for key in _by_cookie(url):
            yield Problem(
                f"affinity.url.{key}", "it needs affinity.application.name: the cookie that holds the same id"
            )


def _by_cookie(url: Url) -> list[str]:
    return [key for key, used in (("minted", url.minted), ("cookie", url.cookie != "unread")) if used]
