"""Whose request it is: the address at the other end of the connection, or the one that a trusted proxy names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from limpet.reference_lb.parts.records import RequestHead

Network = IPv4Network | IPv6Network


class Trusted:
    """The networks of the proxies whose word counts."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ip_network(each) for each in networks)
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        """Whether the address is in one of them; text that is no address is in none."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= 65_536:
                self._known.clear()
            known = self._known[address] = self._inside(address)
        return known

    def _inside(self, text: str) -> bool:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class ConnectionAddress:
    """The other end of the connection, whatever headers say."""

    def of(self, request: RequestHead) -> str:
        """The client's address."""
        return request.source


class ForwardedAddress:
    """What trusted proxies say in a header, read from the right: each of them vouches for the entry that it added.

    Args:
        header: `x-forwarded-for`, `x-real-ip` or `forwarded`; no other one is read.
        trusted: whose word counts.
    """

    def __init__(self, header: str, trusted: Trusted) -> None:
        self._header = header.encode()
        self._read = _READERS[header]
        self._trusted = trusted

    def of(self, request: RequestHead) -> str:
        """The rightmost address that is no trusted proxy's; the leftmost of all where all are."""
        address = request.source
        for entry in self._read(request.values(self._header)):
            if address not in self._trusted:
                break
            named = _address(entry)
            if not named:  # what a proxy cannot or will not name: nobody vouches for what is further left
                break
            address = named
        return address


def _listed(values: Sequence[bytes]) -> Iterator[str]:
    """The entries of X-Forwarded-For, last one first."""
    return reversed([entry.strip() for entry in b",".join(values).decode("latin-1").split(",")])


def _last(values: Sequence[bytes]) -> Iterator[str]:
    """X-Real-IP holds one address."""
    return iter([values[-1].decode("latin-1").strip()] if values else [])


def _for(values: Sequence[bytes]) -> Iterator[str]:
    """The `for` of each element of Forwarded (RFC 7239 section 4), last one first."""
    found = []
    for element in _split(b",".join(values).decode("latin-1"), ","):
        named = ""
        for pair in _split(element, ";"):
            name, _, value = pair.partition("=")
            if name.strip().lower() == "for":
                named = value.strip().strip('"').replace("\\", "")
        found.append(named)
    return reversed(found)


def _split(text: str, at: str) -> Iterator[str]:
    """The pieces between separators that are outside of quotes."""
    begin, quoted, escaped = 0, False, False
    for number, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == at and not quoted:
            yield text[begin:number]
            begin = number + 1
    yield text[begin:]


_READERS: dict[str, Callable[[Sequence[bytes]], Iterator[str]]] = {
    "x-forwarded-for": _listed,
    "x-real-ip": _last,
    "forwarded": _for,
}


def _address(entry: str) -> str:
    """The address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; "" for anything else."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ip_address(entry))
    except ValueError:
        return ""
