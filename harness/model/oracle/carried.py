"""Affinity keys in a header or in the URL: what a request carries, and what a response hands out.

A key is *certain* only where no reading of the contract could see another one: what a balancer makes of a repeated
header, of two different ids, or of a parameter in an unusual place is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.keys import HeaderKey, UrlKey
from limpet.harness.model.contract.stated import may, must
from limpet.harness.model.cookies import SetCookie, parse_cookie_headers, parse_set_cookie
from limpet.harness.model.history import Header, Received, Sent

Keys = tuple[str, ...]


class Carried(Protocol):
    """Reads keys the way that one contract says."""

    def sent(self, sent: Sent) -> tuple[Keys, bool]:
        """The distinct keys of a request, and whether it is beyond doubt that the balancer went by them."""

    def issued(self, received: Received) -> tuple[Keys, bool]:
        """The distinct keys that a response hands out, and whether it takes the client's key away."""


def carried(contract: Contract) -> Carried | None:
    """The reader of a contract whose key is in a header, in the URL or in TLS; None for all others."""
    if contract.affinity == "tls-session-id":
        return _InTls()
    if contract.affinity == "header" and contract.header is not None:
        return _InHeader(contract.header)
    if contract.affinity == "url" and contract.url is not None:
        application = contract.application
        return _InUrl(contract.url, application.name if application and application.name else "")
    return None


class _InHeader:
    def __init__(self, key: HeaderKey) -> None:
        self._name = key.name.lower()
        self._minted = must(key.minted, True)

    def sent(self, sent: Sent) -> tuple[Keys, bool]:
        lines = [value.strip(" \t") for value in named(sent.headers, self._name)]
        return tuple(dict.fromkeys(each for each in lines if each)), len(lines) <= 1

    def issued(self, received: Received) -> tuple[Keys, bool]:
        if not self._minted:
            return (), False
        lines = [value.strip(" \t") for value in named(received.headers, self._name)]
        return tuple(dict.fromkeys(each for each in lines if each)), False


TLS_SESSION = "tls-session-id"
"""The header of a history's records that holds what was said in a TLS handshake: the session id, in hexadecimal."""


class _InTls:
    """What a client offers to go on with, and what the server's hello names: its own, or the same again."""

    def sent(self, sent: Sent) -> tuple[Keys, bool]:
        return tuple(named(sent.headers, TLS_SESSION)), True

    def issued(self, received: Received) -> tuple[Keys, bool]:
        return tuple(named(received.headers, TLS_SESSION)), False


class _InUrl:
    def __init__(self, key: UrlKey, application: str) -> None:
        self._key = key
        self._application = application
        self._minted = bool(application) and must(key.minted, True)
        self._reads_cookie = bool(application) and not must(key.cookie, "unread")
        self._kept = must(key.escapes, "kept")
        self._undone = must(key.escapes, "undone")

    def sent(self, sent: Sent) -> tuple[Keys, bool]:
        path, _, query = sent.path.partition("#")[0].partition("?")
        found, certain = self._in_path(path)
        if self._key.query is not None:
            found += self._values(query.split("&"), self._key.query)
        if not self._kept and not self._undone and any("%" in value for value in found):
            certain = False
        if not self._kept:
            found = [unquote(value) for value in found]
        values = list(dict.fromkeys(found))
        if self._reads_cookie:
            pairs = parse_cookie_headers(named(sent.headers, "cookie"))
            cookies = [value for name, value in pairs if name == self._application and value]
            counts = must(self._key.cookie, "after") or must(self._key.cookie, "before")
            # Of two different ids the one that counts less may still decide: where the other leads nowhere.
            certain = certain and (not cookies or set(cookies) == set(values) or (counts and not values))
            values += [each for each in cookies if each not in values]
        return tuple(values), certain and len(values) <= 1

    def _in_path(self, path: str) -> tuple[list[str], bool]:
        name = self._key.path_parameter
        if name is None:
            return [], True
        segments = [segment.split(";")[1:] for segment in path.split("/")]
        last = self._values(segments[-1], name)
        inner = [value for segment in segments[:-1] for value in self._values(segment, name)]
        anywhere = must(self._key.segments, "any")
        if inner and must(self._key.segments, "last"):
            inner, anywhere = [], True
        return last + inner, anywhere or not inner

    def _values(self, pairs: Sequence[str], name: str) -> list[str]:
        """The values that stand behind this name, as they are; empty ones are none."""
        found = []
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if equals and value and (unquote(key) if self._undone else key) == name:
                found.append(value)
        return found

    def issued(self, received: Received) -> tuple[Keys, bool]:
        if not self._minted:
            return (), False
        lines = [parse_set_cookie(line) for line in named(received.headers, "set-cookie")]
        ours = [each for each in lines if isinstance(each, SetCookie) and each.name == self._application]
        given = [each.value for each in ours if each.value and not deletes(each)]
        return tuple(dict.fromkeys(given)), bool(ours) and not given


def use_binds(contract: Contract) -> bool:
    """Whether a mere use of a key in a header or URL binds it, since nobody hands such keys out."""
    key = contract.header if contract.affinity == "header" else contract.url if contract.affinity == "url" else None
    return key is not None and must(key.minted, False)


def unknown_may_stay_unknown(contract: Contract) -> bool:
    """Whether a balancer that knows the key no more may go on without binding it, as it may with an invented one."""
    application = contract.application
    # A balancer that sets a cookie of its own, or writes into the application's, binds whoever it answers; not where
    # that cookie comes with the application's alone, which nobody sets again for a user who has one.
    companion = contract.cookie.companion if contract.cookie is not None else None
    own = contract.cookie is not None and (companion is None or not may(companion.issued, "with-application"))
    learned = contract.affinity == "app-cookie" and not own
    learned = learned and (application is None or application.mark is None)
    # Of applications' cookies only where something is said of unknown values; else every failover would excuse it.
    said = contract.reaction.bad_cookie is not None if learned else contract.affinity in ("header", "url")
    said = said or contract.affinity == "tls-session-id"
    return said and may(contract.reaction.bad_cookie, "ignore")


def deletes(cookie: SetCookie) -> bool:
    """Whether a Set-Cookie ends the cookie; no server means 1970."""
    if cookie.max_age is not None:
        return cookie.max_age <= 0
    return cookie.expires is not None and cookie.expires <= 86_400


def named(headers: Sequence[Header], name: str) -> list[str]:
    """The values of all headers of this name (lower case)."""
    size = len(name)  # a look at the length spares most of the comparisons
    return [value for key, value in headers if len(key) == size and key.lower() == name]
