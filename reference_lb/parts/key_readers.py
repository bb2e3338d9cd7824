"""Where the affinity key is found, one reader a mode."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from limpet.reference_lb.parts.cookies import cookies_of, ends_cookie, pairs
from limpet.reference_lb.parts.protocols import Clock
from limpet.reference_lb.parts.records import Issued, RequestHead, ResponseHead


class AddressMask:
    """What part of a client's address counts. IPv4 inside IPv6 counts as IPv4."""

    def __init__(self, v4: int = 32, v6: int = 128) -> None:
        self._v4, self._v6 = v4, v6
        self._known: dict[str, str] = {}

    def __call__(self, source: str) -> str:
        """The masked address with its prefix length; text that is no address stands for itself."""
        masked = self._known.get(source)
        if masked is None:
            if len(self._known) >= 65_536:
                self._known.clear()
            masked = self._known[source] = self._mask(source)
        return masked

    def _mask(self, source: str) -> str:
        try:
            address = ip_address(source.partition("%")[0])
        except ValueError:
            return source
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return str(ip_network(f"{address}/{self._v4 if address.version == 4 else self._v6}", strict=False))


class NoKey:
    """No stickiness."""

    def read(self, request: RequestHead) -> Sequence[str]:
        """Nothing."""
        return ()

    def source(self, request: RequestHead) -> str:
        """Nothing."""
        return ""

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        """Nothing."""
        return ()


class CookieKey(NoKey):
    """The values of the balancer's cookies, in the order in which the request carries them.

    Args:
        names: the cookie's and its twin's name. Names are compared byte for byte.
        mask: ties pins to the client's masked address (None: they are not tied).
    """

    def __init__(self, names: Sequence[str], mask: AddressMask | None = None) -> None:
        self._names = frozenset(name.encode() for name in names)
        self._mask = mask

    def matches(self, name: bytes) -> bool:
        """Whether a cookie of this name is one of ours."""
        return name in self._names

    def read(self, request: RequestHead) -> Sequence[str]:
        """Every value, duplicates too: the router takes the first one that is live."""
        names = self._names
        return [
            value.decode("latin-1")
            for field, line in request.headers
            if len(field) == 6 and field.lower() == b"cookie"
            for name, value in cookies_of(line)
            if name in names
        ]

    def source(self, request: RequestHead) -> str:
        """The masked address, when pins are tied to it."""
        return self._mask(request.source) if self._mask is not None else ""


class ApplicationKey(CookieKey):
    """The value of the application's own cookie, learned from the backend's Set-Cookie."""

    def __init__(self, name: str, clock: Clock, mask: AddressMask | None = None) -> None:
        super().__init__([name], mask)
        self._clock = clock

    def read(self, request: RequestHead) -> Sequence[str]:
        """Every value that is not empty."""
        return [value for value in super().read(request) if value]

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        """What Set-Cookie headers of the configured name say."""
        found = []
        for header, line in response.headers:
            if header.lower() != b"set-cookie":
                continue
            cookie, _, attributes = line.partition(b";")
            for name, value in pairs(cookie):
                if self.matches(name):
                    ended = not value or ends_cookie(attributes, self._clock.now())
                    found.append(Issued(value.decode("latin-1"), ended))
        return found


class SourceKey(NoKey):
    """The client's masked address."""

    def __init__(self, mask: AddressMask) -> None:
        self._mask = mask

    def read(self, request: RequestHead) -> Sequence[str]:
        """Always one key."""
        return (self._mask(request.source),)


class FlowKey(NoKey):
    """Address and port of the client: what is left of the 5-tuple, whose other three belong to the listener."""

    def __init__(self, mask: AddressMask) -> None:
        self._mask = mask

    def read(self, request: RequestHead) -> Sequence[str]:
        """Always one key."""
        return (f"{self._mask(request.source)}:{request.port}",)
