"""A user agent's cookie store (RFC 6265bis sections 5.7 and 5.8), with the client's own clock passed in.

Left out on purpose: the public suffix list (only its default rule is applied: a domain of one label, such as ``org``,
is a public suffix), the number of cookies a store may hold, partition keys (``Partitioned`` is kept and has no effect)
and the optional two minutes in which new ``default`` cookies travel with unsafe cross-site navigations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from limpet.harness.model.cookies.match import (
    Target,
    default_path,
    domain_match,
    is_address,
    is_loopback,
    path_match,
    split_url,
)
from limpet.harness.model.cookies.parse import Ignored, SameSite, SetCookie, parse_set_cookie
from limpet.harness.model.cookies.request import format_cookie_header

AGE_LIMIT = 400 * 86_400
"""Seconds: no cookie lives longer from the moment it was received (RFC 6265bis section 5.5)."""

Action = Literal["stored", "replaced", "deleted", "ignored"]
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SECURE_SCHEMES = frozenset({"https", "wss"})


@dataclass(frozen=True)
class StoredCookie:
    """One cookie in a jar. ``domain`` is canonical; times are unix seconds of the jar's own clock."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    same_site: SameSite
    partitioned: bool
    created: float
    """When a cookie of this name, domain and path first came; replacing it does not change this."""
    expiry: float | None
    """None for a session cookie. The cookie is gone from this very moment on."""
    source: SetCookie
    """The line that set it."""

    @property
    def key(self) -> tuple[str, str, bool, str]:
        """What makes two cookies the same one."""
        return (self.name, self.domain, self.host_only, self.path)


@dataclass(frozen=True)
class StoreOutcome:
    """What a jar did with one ``Set-Cookie`` line, and why.

    ``cookie`` is what is now stored, or what a deletion removed; None when the line was ignored. A line that came
    expired and met no cookie is ``ignored``.
    """

    line: str
    action: Action
    reason: str
    cookie: StoredCookie | None = None


class Jar:
    """One client's cookies. Not for several threads at once.

    Args:
        now: this client's own wall clock, in unix seconds; it may be virtual and skewed.
        trust_loopback: browsers take plain http to loopback for trustworthy and so keep and send ``Secure`` cookies
            there. A test client should not by default: a balancer that marks cookies ``Secure`` on a plain http
            listener loses its real clients, and a trusting jar would hide that.
    """

    def __init__(self, now: Callable[[], float], *, trust_loopback: bool = False) -> None:
        self._now = now
        self._trust_loopback = trust_loopback
        self._cookies: dict[tuple[str, str, bool, str], tuple[int, StoredCookie]] = {}
        # Order of creation is counted, not timed: clocks stand still and step back.
        self._order = count()

    def store(
        self, url: str, set_cookie_lines: Sequence[str], *, cross_site: bool = False, navigation: bool = False
    ) -> list[StoreOutcome]:
        """Takes the ``Set-Cookie`` lines of one response, in order; ``url`` is the one that was requested.

        Args:
            url: absolute http(s) or ws(s) URL.
            set_cookie_lines: the headers' values.
            cross_site: the request was a cross-site one.
            navigation: it was a top-level navigation, which may set any cookie.

        Raises:
            ValueError: the URL is not absolute.
        """
        target = split_url(url)
        foreign = cross_site and not navigation
        return [self._store(target, line, foreign) for line in set_cookie_lines]

    def header(self, url: str, *, method: str = "GET", cross_site: bool = False, navigation: bool = False) -> str:
        """The value of the ``Cookie`` header for a request, "" when there is none to send.

        A cross-site request carries ``SameSite=None`` cookies only; ``lax`` and ``default`` ones too where it is a
        top-level ``navigation`` with a safe method (following a link), never where it is a fetch.

        Raises:
            ValueError: the URL is not absolute.
        """
        target = split_url(url)
        secure = self._is_secure(target)
        lax = not cross_site or (navigation and method.upper() in _SAFE_METHODS)
        sent = [
            cookie
            for cookie in self.cookies()
            if (target.host == cookie.domain if cookie.host_only else domain_match(target.host, cookie.domain))
            and path_match(target.path, cookie.path)
            and (secure or not cookie.secure)
            and (not cross_site or cookie.same_site == "none" or (lax and cookie.same_site != "strict"))
        ]
        return format_cookie_header((cookie.name, cookie.value) for cookie in sent)

    def cookies(self) -> list[StoredCookie]:
        """All live cookies in the order in which they are sent: longest path first, then the oldest."""
        self._evict()
        ordered = sorted(self._cookies.values(), key=lambda entry: (-len(entry[1].path), entry[0]))
        return [cookie for _, cookie in ordered]

    def get(self, name: str) -> StoredCookie | None:
        """The live cookie of this name (exact case) that is sent first; domains and paths are not looked at."""
        return next((cookie for cookie in self.cookies() if cookie.name == name), None)

    def remove(self, name: str) -> int:
        """Forgets every cookie of this name; how many there were."""
        gone = [key for key in self._cookies if key[0] == name]
        for key in gone:
            del self._cookies[key]
        return len(gone)

    def end_session(self) -> int:
        """The browser session ends: session cookies go; how many there were."""
        gone = [key for key, (_, cookie) in self._cookies.items() if cookie.expiry is None]
        for key in gone:
            del self._cookies[key]
        return len(gone)

    def clear(self) -> None:
        """Forgets everything."""
        self._cookies.clear()

    def _evict(self) -> None:
        now = self._now()
        dead = [key for key, (_, cookie) in self._cookies.items() if _expired(cookie, now)]
        for key in dead:
            del self._cookies[key]

    def _is_secure(self, target: Target) -> bool:
        return target.scheme in _SECURE_SCHEMES or (self._trust_loopback and is_loopback(target.host))

    def _store(self, target: Target, line: str, foreign: bool) -> StoreOutcome:
        parsed = parse_set_cookie(line)
        if isinstance(parsed, Ignored):
            return StoreOutcome(line, "ignored", parsed.reason)
        now = self._now()
        placed = _place(target, parsed)
        if isinstance(placed, str):
            return StoreOutcome(line, "ignored", placed)
        domain, host_only = placed
        explicit_path = parsed.path if parsed.path and parsed.path.startswith("/") else None
        cookie = StoredCookie(
            name=parsed.name,
            value=parsed.value,
            domain=domain,
            host_only=host_only,
            path=explicit_path or default_path(target.path),
            secure=parsed.secure,
            http_only=parsed.http_only,
            same_site=parsed.same_site,
            partitioned=parsed.partitioned,
            created=now,
            expiry=_expiry(parsed, now),
            source=parsed,
        )
        self._evict()
        refusal = self._refusal(cookie, self._is_secure(target), foreign)
        if refusal:
            return StoreOutcome(line, "ignored", refusal)
        return self._insert(line, cookie, now)

    def _insert(self, line: str, cookie: StoredCookie, now: float) -> StoreOutcome:
        order, old = self._cookies.pop(cookie.key, (next(self._order), None))
        if _expired(cookie, now):
            if old is None:
                return StoreOutcome(line, "ignored", "came already expired, and there was none to delete")
            return StoreOutcome(line, "deleted", "its expiry has passed", old)
        if old is not None:
            cookie = replace(cookie, created=old.created)
        self._cookies[cookie.key] = (order, cookie)
        action: Action = "stored" if old is None else "replaced"
        return StoreOutcome(line, action, "" if cookie.expiry is not None else "until the session ends", cookie)

    def _refusal(self, cookie: StoredCookie, secure: bool, foreign: bool) -> str:
        """Why this cookie must not be stored, "" when it may (RFC 6265bis section 5.7, after placing it)."""
        if cookie.secure and not secure:
            return "Secure, but received over an insecure connection"
        if not cookie.secure and not secure and self._overlays_secure(cookie):
            return "would overlay a Secure cookie from an insecure connection"
        if cookie.same_site != "none" and foreign:
            return f"SameSite={cookie.same_site} in a cross-site response that is no navigation"
        if cookie.same_site == "none" and not cookie.secure:
            return "SameSite=None without Secure"
        return _prefix_refusal(cookie)

    def _overlays_secure(self, new: StoredCookie) -> bool:
        return any(
            old.name == new.name
            and old.secure
            and (domain_match(old.domain, new.domain) or domain_match(new.domain, old.domain))
            and path_match(new.path, old.path)
            for _, old in self._cookies.values()
        )


def _place(target: Target, parsed: SetCookie) -> tuple[str, bool] | str:
    """The cookie's domain and host-only flag, or why it must be ignored."""
    domain = (parsed.domain or "").removeprefix(".")
    if not domain.isascii():
        return f"Domain={domain} is not ASCII"
    domain = domain.lower()
    if not domain:
        return target.host, True
    # As browsers do: there is nothing below an address, nor below a public suffix, so such a cookie is the host's own.
    if domain == target.host:
        return target.host, is_address(domain) or "." not in domain
    if "." not in domain:
        return f"Domain={domain} is a public suffix"
    if not domain_match(target.host, domain):
        return f"Domain={domain} does not cover the host {target.host}"
    return domain, False


def _prefix_refusal(cookie: StoredCookie) -> str:
    name = cookie.name.lower()
    if not name and cookie.value.lower().startswith(("__secure-", "__host-")):
        return "the value of a nameless cookie looks like a prefixed name"
    if name.startswith("__secure-") and not cookie.secure:
        return "__Secure- without Secure"
    if name.startswith("__host-"):
        own_host = cookie.host_only and not (cookie.source.domain or "").removeprefix(".")
        if not (cookie.secure and own_host and cookie.source.path is not None and cookie.path == "/"):
            return "__Host- needs Secure, Path=/ and no Domain"
    return ""


def _expiry(parsed: SetCookie, now: float) -> float | None:
    if parsed.max_age is not None:
        return now + min(parsed.max_age, AGE_LIMIT) if parsed.max_age > 0 else float("-inf")
    if parsed.expires is not None:
        return min(parsed.expires, now + AGE_LIMIT)
    return None


def _expired(cookie: StoredCookie, now: float) -> bool:
    return cookie.expiry is not None and cookie.expiry <= now
