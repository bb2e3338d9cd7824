"""The balancer's cookie beside the application's: it appears with that one, and both together are the key."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from limpet.reference_lb.parts.binding_stores import TableStore
from limpet.reference_lb.parts.cookie_writer import CookiePlan, Issue, PlannedCookies
from limpet.reference_lb.parts.cookies import ends_cookie, pairs
from limpet.reference_lb.parts.key_readers import AddressMask, NoKey
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.parts.records import Binding, RequestHead, ResponseHead, Route, SetCookie
from limpet.reference_lb.parts.router import PinningRouter

_TICKET = 24  # random bytes
_BYTES_OF_EQUALS = 1


@dataclass(frozen=True, slots=True)
class Shards:
    """How a long value is cut: cookies called `prefix` and a number from 0, name and value `size` bytes at the most."""

    prefix: str
    size: int
    count: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that there may be."""
        return tuple(f"{self.prefix}{number}" for number in range(self.count))

    def cut(self, value: str) -> list[str]:
        """The pieces, in order; empty when they would be too many."""
        room = self.size - len(self.names[-1]) - _BYTES_OF_EQUALS
        pieces = [value[at : at + room] for at in range(0, len(value), room)]
        return pieces if len(pieces) <= self.count else []


def application_cookies(request: RequestHead, name: str) -> list[bytes]:
    """The values under the application's name in a request; empty ones count as none."""
    wanted = name.encode()
    return [
        value for header in request.values(b"cookie") for found, value in pairs(header) if found == wanted and value
    ]


class CompanionKey(NoKey):
    """What the balancer's cookie holds, where the application's cookie came with it.

    Args:
        application: the name of the application's cookie; its value does not matter.
        names: of the balancer's cookie and its twin, or of all shards in their order.
        joined: whether these are the shards of one value.
    """

    def __init__(
        self, application: str, names: Sequence[str], *, joined: bool, mask: AddressMask | None = None
    ) -> None:
        self._application = application
        self._names = tuple(name.encode() for name in names)
        self._joined = joined
        self._mask = mask

    def read(self, request: RequestHead) -> Sequence[str]:
        """Every value, the whole one of all shards first; nothing when either cookie is missing."""
        if not application_cookies(request, self._application):
            return ()
        found: dict[bytes, str] = {}
        values: list[str] = []
        for header in request.values(b"cookie"):
            for name, value in pairs(header):
                if name in self._names:
                    found.setdefault(name, value.decode("latin-1"))
                    values.append(value.decode("latin-1"))
        return self._whole(found) if self._joined else values

    def _whole(self, found: dict[bytes, str]) -> list[str]:
        pieces: list[str] = []
        for name in self._names:
            if name not in found:
                break
            pieces.append(found[name])
        if not pieces:
            return ["".join(found.values())] if found else []
        # Shards of a longer, older value may still lie behind the present ones.
        return ["".join(pieces[:count]) for count in range(len(pieces), 0, -1)]

    def source(self, request: RequestHead) -> str:
        """The masked address, when pins are tied to it."""
        return self._mask(request.source) if self._mask is not None else ""


class TicketStore(TableStore):
    """The pins stay here; the client's cookie is a random number under which its pin is found."""

    def bind(self, key: str, binding: Binding) -> None:
        """Change the pin of a number that was given out; what a client made up stays unknown."""
        if self.find(key) is not None:
            super().bind(key, binding)

    def token(self, binding: Binding) -> str | None:
        """A new number for this pin."""
        ticket = secrets.token_hex(_TICKET)
        super().bind(ticket, replace(binding, carries=""))
        return ticket


class ShardedCookies(PlannedCookies):
    """One value in as many cookies as it needs."""

    def __init__(self, plan: CookiePlan, shards: Shards) -> None:
        super().__init__(Issue.EVERY_RESPONSE, [plan])
        self._plan = plan
        self._shards = shards

    def cookies(self, request: RequestHead, route: Route, value: str, anchor: float, now: float) -> Sequence[SetCookie]:
        """The shards in their order, and the end of those that the client has too many of; none if it is too long."""
        pieces = self._shards.cut(value)
        carried = {name for header in request.values(b"cookie") for name, _ in pairs(header)}
        made = [
            self._cookie(replace(self._plan, name=name), request, piece, anchor, now)
            for name, piece in zip(self._shards.names, pieces, strict=False)
        ]
        stale = [name for name in self._shards.names[len(pieces) :] if name.encode() in carried]
        ended = replace(self._cookie(self._plan, request, "", anchor, now), expires=0.0, max_age=None)
        return [*made, *(replace(ended, name=name) for name in stale)]


@dataclass(frozen=True, slots=True)
class Given:
    """The application's cookie as a response sets it."""

    pair: str
    ended: bool
    expires: float | None
    max_age: int | None
    secure: bool
    http_only: bool


def given_by(response: ResponseHead, name: str, now: float) -> Given | None:
    """The last Set-Cookie of this name, as browsers take it."""
    found = None
    for header, line in response.headers:
        if header.lower() != b"set-cookie":
            continue
        cookie, _, attributes = line.partition(b";")
        for own, value in pairs(cookie):
            if own == name.encode():
                found = _given(cookie.decode("latin-1"), not value or ends_cookie(attributes, now), attributes)
    return found


def _given(pair: str, ended: bool, attributes: bytes) -> Given:
    words = {piece.partition(b"=")[0].strip().lower() for piece in attributes.split(b";")}
    values = {name.lower(): value for name, value in pairs(attributes)}
    age = values.get(b"max-age", b"")
    return Given(
        pair=pair,
        ended=ended,
        expires=_instant(values.get(b"expires", b"")),
        max_age=int(age) if age.removeprefix(b"-").isdigit() else None,
        secure=b"secure" in words,
        http_only=b"httponly" in words,
    )


def _instant(value: bytes) -> float | None:
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp() if value else None
    except ValueError:
        return None


def mirrored(cookie: SetCookie, given: Given) -> SetCookie:
    """With the lifetime and the flags of the application's cookie; what the twin needs besides stays."""
    return replace(
        cookie,
        expires=given.expires,
        max_age=given.max_age,
        secure=given.secure or cookie.same_site == "None",
        http_only=given.http_only,
    )


class CompanionRouter(PinningRouter):
    """Issues the balancer's cookie with the application's.

    Args:
        application: the application's cookie.
        renews: whether every response of a session carries the cookie; else only those that carry the application's.
        mirrors: whether it has the lifetime and the flags of the application's.
    """

    def __init__(self, application: str, *, renews: bool, mirrors: bool) -> None:
        self._application = application
        self._renews = renews
        self._mirrors = mirrors

    def answered(self, parts: Parts, request: RequestHead, route: Route, response: ResponseHead) -> Sequence[SetCookie]:
        """With the application's cookie, and in a session that has both already, as configured."""
        if route.member is None or not parts.switch.enabled:
            return ()
        now = parts.clock.now()
        given = given_by(response, self._application, now)
        keys = parts.key_reader.read(request)
        if given is not None and given.ended:
            for key in keys:
                parts.binding_store.drop(key)
            return self._ended(parts, request, route, given, now) if self._mirrors and keys else ()
        in_session = bool(keys) and route.binding is not None
        if given is None and not (self._renews and in_session):
            self.used(parts, request, route)
            return ()
        source = parts.key_reader.source(request)
        binding = route.binding or Binding(route.member.id, now, now, source=source)
        binding = parts.lifetime.renewed(binding, now)
        sent = b"".join(application_cookies(request, self._application)[:1]).decode("latin-1")
        copied = given.pair if given is not None else f"{self._application}={sent}"
        value = parts.binding_store.token(replace(binding, carries=copied))
        if value is None:
            return ()
        cookies = parts.cookie_writer.cookies(request, route, value, parts.lifetime.anchor(binding), now)
        return [mirrored(each, given) for each in cookies] if self._mirrors and given is not None else cookies

    def _ended(self, parts: Parts, request: RequestHead, route: Route, given: Given, now: float) -> Sequence[SetCookie]:
        """The balancer's cookie goes with the application's."""
        cookies = parts.cookie_writer.cookies(request, route, "", now, now)
        return [replace(mirrored(each, given), expires=0.0, max_age=None) for each in cookies]
