"""The application's cookie names the server of its session: the balancer writes that into it, or the server does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

from limpet.reference_lb.parts.binding_stores import NoStore
from limpet.reference_lb.parts.header_policy import ForwardingHeaders
from limpet.reference_lb.parts.protocols import Parts, Pool
from limpet.reference_lb.parts.records import Binding, Member, RequestHead, ResponseHead, Route, SetCookie, Why
from limpet.reference_lb.parts.router import PinningRouter


class Mark(Protocol):
    """How a server stands in the cookie's value."""

    def server(self, value: str, members: Sequence[Member]) -> Member | None:
        """The member that a value names."""

    def well_formed(self, value: str) -> bool:
        """Whether the value names some server, one that is not there any more too."""

    def marked(self, value: str, member: Member) -> str:
        """What the client is given when the application set this value."""

    def anew(self, value: str, member: Member) -> str | None:
        """What a client with this value is given when it is pinned anew; None: the balancer cannot say so."""

    def bare(self, value: str) -> str:
        """What the application is sent when the client sent this."""


class Prefix:
    """`server~value`: put there on the way out, taken off on the way in."""

    def __init__(self, separator: str = "~") -> None:
        self._separator = separator

    def _label(self, member: Member) -> str:
        return quote(member.name, safe="").replace(self._separator, f"%{ord(self._separator):02X}")

    def server(self, value: str, members: Sequence[Member]) -> Member | None:
        """By what stands before the first separator."""
        label, found, _ = value.partition(self._separator)
        return next((each for each in members if found and self._label(each) == label), None)

    def well_formed(self, value: str) -> bool:
        """It has a separator."""
        return self._separator in value

    def marked(self, value: str, member: Member) -> str:
        """With the prefix, once."""
        return f"{self._label(member)}{self._separator}{value}"

    def anew(self, value: str, member: Member) -> str | None:
        """The same value behind another prefix."""
        return self.marked(self.bare(value), member)

    def bare(self, value: str) -> str:
        """What stands behind the first separator; without one, all of it."""
        before, found, after = value.partition(self._separator)
        return after if found else before


class Rewritten:
    """The server's name alone: the application's value never reaches a client."""

    def server(self, value: str, members: Sequence[Member]) -> Member | None:
        """By the whole value."""
        return next((each for each in members if quote(each.name, safe="") == value), None)

    def well_formed(self, value: str) -> bool:
        """Any value may be a name."""
        return bool(value)

    def marked(self, value: str, member: Member) -> str:
        """The name."""
        return quote(member.name, safe="")

    def anew(self, value: str, member: Member) -> str | None:
        """The other name."""
        return self.marked(value, member)

    def bare(self, value: str) -> str:
        """As it came: what the application had set is not known any more."""
        return value


class RouteSuffix:
    """`value.route`: the application's server wrote its own name behind the value, and the balancer only reads."""

    def __init__(self, separator: str = ".") -> None:
        self._separator = separator

    def server(self, value: str, members: Sequence[Member]) -> Member | None:
        """Of all whose name ends the value, the one of the longest name."""
        found = [each for each in members if value.endswith(self._separator + each.name)]
        return max(found, key=lambda each: len(each.name), default=None)

    def well_formed(self, value: str) -> bool:
        """It has a separator."""
        return self._separator in value

    def marked(self, value: str, member: Member) -> str:
        """Unchanged."""
        return value

    def anew(self, value: str, member: Member) -> str | None:
        """Only the application may change it."""
        return None

    def bare(self, value: str) -> str:
        """Unchanged."""
        return value


class MarkStore(NoStore):
    """Reads the binding out of the value itself."""

    def __init__(self, mark: Mark, pool: Pool) -> None:
        self._mark = mark
        self._pool = pool

    def find(self, key: str) -> Binding | None:
        """To the member that the value names; to nobody where that one left; None where it names none."""
        member = self._mark.server(key, self._pool.members())
        if member is not None:
            return Binding(member.id, 0.0, 0.0)
        return Binding("", 0.0, 0.0) if self._mark.well_formed(key) else None


class MarkRouter(PinningRouter):
    """Marks what the application sets, and gives a client whose member is lost its cookie with the new one's mark."""

    def __init__(self, name: str, mark: Mark) -> None:
        self._name = name.encode()
        self._mark = mark

    def answered(self, parts: Parts, request: RequestHead, route: Route, response: ResponseHead) -> Sequence[SetCookie]:
        """The application's own Set-Cookie comes before one of the balancer's."""
        member = route.member
        if member is None or not parts.switch.enabled:
            return ()
        own = False
        for at, (header, line) in enumerate(response.headers):
            if header.lower() == b"set-cookie" and line.partition(b"=")[0].strip(b" \t") == self._name:
                own = True
                pair, semicolon, attributes = line.partition(b";")
                marked = changed(pair, self._name, lambda value: self._mark.marked(value, member))
                response.headers[at] = (header, marked + semicolon + attributes)
        if own or route.binding is None or route.key is None or route.why not in (Why.FRESH, Why.REPINNED):
            return ()
        value = self._mark.anew(route.key, member)
        if value is None:
            return ()
        now = parts.clock.now()
        return parts.cookie_writer.cookies(request, route, value, now, now)


class MarkedHeaders(ForwardingHeaders):
    """Sends the application its cookie without the mark, everything else byte for byte."""

    def __init__(self, name: str, mark: Mark) -> None:
        super().__init__()
        self._name = name.encode()
        self._mark = mark

    def cookie_header(self, value: bytes) -> bytes | None:
        """Each cookie of the name, in any place."""
        if self._name not in value:
            return value
        return b";".join(changed(piece, self._name, self._mark.bare) for piece in value.split(b";"))


class _Change(Protocol):
    def __call__(self, value: str, /) -> str: ...


def changed(piece: bytes, name: bytes, change: _Change) -> bytes:
    """`name=value` with another value where it is this name and the value is not empty; blanks and quotes stay."""
    before, equals, rest = piece.partition(b"=")
    inner = rest.strip(b" \t")
    if len(inner) >= 2 and inner[:1] == b'"' == inner[-1:]:
        inner = inner[1:-1]
    if not equals or before.strip(b" \t") != name or not inner:
        return piece
    start = rest.index(inner)
    new = change(inner.decode("latin-1")).encode("latin-1")
    return before + equals + rest[:start] + new + rest[start + len(inner) :]
