"""What a backend looks like inside a cookie value: the forms of its name, address and port, each with its chance."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from limpet.harness.model.cookies.layers import Layer

Shape = Literal["token", "anywhere", "octets"]
"""How a form must stand: as a token of its own, anywhere in a text, or anywhere among raw octets."""

_SHORTEST_NAME = 2
_SHORTEST_PORT = 4
_SHORTEST_DIGEST = 16
"""Hex digits: the shortest cut of a digest that counts, as some products cut them."""
# Ten-digit numbers in this range are more likely a moment in time than an address.
_CLOCK = range(1_000_000_000, 2_200_000_000)
_CLOCK_CHANCE = 1e-4


@dataclass(frozen=True)
class BackendFacts:
    """What is to stay secret about one backend. ``host`` is an address or a name, "" when unknown; port 0 the same."""

    name: str
    host: str = ""
    port: int = 0


@dataclass(frozen=True)
class Mark:
    """One form of one fact. ``odds`` is the chance that one given place holds it by luck; 0 means: count characters."""

    what: Literal["name", "address", "port", "address and port"]
    how: str
    form: bytes
    shape: Shape
    odds: float = 0.0

    @property
    def shown(self) -> str:
        """The form for people: text, or hex for octets."""
        return self.form.hex() if self.shape == "octets" else self.form.decode("utf-8", "replace")

    def search(self, layer: Layer) -> float | None:
        """The chance of this form being in a layer by luck, when it is there; else None."""
        if self.shape == "octets":
            return self._among_octets(layer)
        text = layer.text
        if text is None:
            return None
        form = self.form.decode("utf-8", "replace")
        if self.shape == "anywhere":
            return max(1, len(text)) * layer.places * self.odds if form.lower() in text.lower() else None
        found = self._as_token(text, form, decoded=bool(layer.how))
        return None if found is None else found * layer.places

    def _among_octets(self, layer: Layer) -> float | None:
        if not layer.how or self.form not in layer.data:
            return None
        exact = layer.data == self.form
        # Four octets turn up somewhere in much random data; only with more of them is any place good enough.
        if not exact and len(self.form) < 6:
            return None
        return (1 if exact else len(layer.data)) * layer.places * 256.0 ** -len(self.form)

    def _as_token(self, text: str, form: str, *, decoded: bool) -> float | None:
        best: float | None = None
        for at in re.finditer(re.escape(form), text):
            before, after = text[: at.start()][-1:], text[at.end() :][:1]
            if before.isalnum() or after.isalnum():
                continue
            chance = self._odds(form, decoded) * _places(text, before, after)
            best = chance if best is None else min(best, chance)
        return best

    def _odds(self, form: str, decoded: bool) -> float:
        if self.odds:
            return self.odds
        alphabet = 256 if decoded else 10 if form.isdigit() else 62
        return float(alphabet) ** -len(form)


@lru_cache(maxsize=1024)
def marks(backend: BackendFacts, known: frozenset[str] = frozenset()) -> tuple[Mark, ...]:
    """Every form in which a backend's facts are looked for; facts in ``known`` are left out."""
    return tuple(_marks(backend, known))


def _marks(backend: BackendFacts, known: frozenset[str]) -> Iterator[Mark]:
    name = backend.name if len(backend.name) >= _SHORTEST_NAME and backend.name not in known else ""
    address = _address(backend.host)
    hidden_host = bool(backend.host) and backend.host not in known
    if name:
        yield Mark("name", "plain", name.encode(), "token")
    if hidden_host and len(backend.host) >= _SHORTEST_NAME and backend.host != name:
        yield Mark("address", "plain", backend.host.encode(), "token")
    if backend.host and backend.port:
        yield Mark("address and port", "plain", _endpoint(backend).encode(), "token")
    if len(str(backend.port)) >= _SHORTEST_PORT:
        yield Mark("port", "plain", str(backend.port).encode(), "token")
    if address is not None:
        if hidden_host:
            yield from _address_marks(address)
        if backend.port:
            yield from _endpoint_marks(address, backend.port)
    yield from _digest_marks(backend, name, hidden_host)


def _address_marks(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[Mark]:
    packed = address.packed
    if isinstance(address, ipaddress.IPv6Address):
        yield Mark("address", "hex", packed.hex().encode(), "anywhere", 16.0**-32)
        yield Mark("address", "octets", packed, "octets")
        return
    yield Mark("address", "dashed", str(address).replace(".", "-").encode(), "token")
    # Two forms for each: network order, and little-endian as F5's cookies have it.
    for order, octets in (("", packed), (", little-endian", packed[::-1])):
        number = int.from_bytes(octets, "big")
        odds = _CLOCK_CHANCE if number in _CLOCK else 10.0 ** -len(str(number))
        yield Mark("address", f"decimal{order}", str(number).encode(), "token", odds)
        yield Mark("address", f"hex{order}", octets.hex().encode(), "token", 16.0**-8)
        yield Mark("address", f"hex{order}", octets.hex().upper().encode(), "token", 16.0**-8)
        yield Mark("address", f"octets{order}", octets, "octets")


def _endpoint_marks(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Iterator[Mark]:
    packed, big = address.packed, port.to_bytes(2, "big")
    swapped = int.from_bytes(big, "little")
    if isinstance(address, ipaddress.IPv6Address):
        yield Mark("address and port", "F5 IPv6", f"vi{packed.hex()}.{swapped}".encode(), "anywhere", 16.0**-32)
        return
    little = int.from_bytes(packed, "little")
    # The dots are part of it, so it cannot be two numbers that happen to stand side by side in a hash.
    yield Mark("address and port", "F5 BIGipServer", f"{little}.{swapped}.0000".encode(), "token", 2.0**-48)
    mapped = f"o00000000000000000000ffff{packed.hex()}o{port}"
    yield Mark("address and port", "F5 route domain", mapped.encode(), "anywhere", 16.0**-20)
    for octets in (packed + big, packed[::-1] + big, packed + big[::-1], packed[::-1] + big[::-1]):
        yield Mark("address and port", "hex", octets.hex().encode(), "anywhere", 16.0**-12)
        yield Mark("address and port", "octets", octets, "octets")


def _digest_marks(backend: BackendFacts, name: str, hidden_host: bool) -> Iterator[Mark]:
    """Digests without a key: whoever can guess an address can check the guess."""
    for what, text in _digested(backend, name, hidden_host):
        for algorithm in ("md5", "sha1", "sha256"):
            digest = hashlib.new(algorithm, text.encode(), usedforsecurity=False).digest()
            yield from _forms(what, f"{algorithm} of {text!r}", digest)
        yield from _forms(what, f"fnv-1a of {text!r}", _fnv1a(text.encode()))


def _forms(what: Literal["name", "address", "address and port"], how: str, digest: bytes) -> Iterator[Mark]:
    yield Mark(what, how, digest.hex()[:_SHORTEST_DIGEST].encode(), "anywhere", 16.0**-_SHORTEST_DIGEST)
    # Base64 of a digest is a layer of its own, which holds these octets.
    yield Mark(what, how, digest[: _SHORTEST_DIGEST // 2], "octets")


def _digested(
    backend: BackendFacts, name: str, hidden_host: bool
) -> Iterator[tuple[Literal["name", "address", "address and port"], str]]:
    if name:
        yield "name", name
    if hidden_host:
        yield "address", backend.host
    if backend.host and backend.port:
        endpoint = _endpoint(backend)
        for text in (endpoint, f"{backend.host}_{backend.port}", f"{backend.host}{backend.port}"):
            yield "address and port", text
        for scheme in ("http", "https", "h2c"):
            yield "address and port", f"{scheme}://{endpoint}"
            yield "address and port", f"{scheme}://{endpoint}/"


def _endpoint(backend: BackendFacts) -> str:
    host = f"[{backend.host}]" if ":" in backend.host else backend.host
    return f"{host}:{backend.port}"


def _fnv1a(data: bytes) -> bytes:
    value = 0xCBF29CE484222325
    for octet in data:
        value = ((value ^ octet) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value.to_bytes(8, "big")


def _places(text: str, before: str, after: str) -> float:
    """How many places of a text a token could stand at by luck.

    Characters of the base64 alphabets also come up within random tokens, one in 32 each; beside one of those every
    offset is a place. Beside a real delimiter or at the ends only the tokens are.
    """
    soft = sum(1 for neighbour in (before, after) if neighbour and neighbour in "+/-_")
    if soft:
        return max(1.0, len(text) * 32.0**-soft)
    return float(max(1, len(re.findall(r"[A-Za-z0-9+/_-]+", text))))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
