"""Client addresses out of a network's ranges, drawn so that clients differ in the part that a balancer keys on."""

from __future__ import annotations

import ipaddress
import random
import threading
from collections.abc import Sequence

from limpet.harness.model.errors import HarnessFault, SetupFault

LOOPBACK = ("127.128.0.0/9",)


class SourcePoolV6:
    """IPv6 addresses of one scenario's clients: each drawn one in a /64 of its own.

    Args:
        seed: of the scenario.
        range_: a network of at most 32 bits of prefix, so that no /64 is met twice by chance.
    """

    def __init__(self, seed: int | str, range_: str) -> None:
        self._network = ipaddress.IPv6Network(range_)
        self._random = random.Random(f"sources-v6/{seed}")

    def draw(self) -> str:
        """An address in a /64 that no earlier one is in."""
        site = int(self._network.network_address) >> 64 | self._random.getrandbits(64 - self._network.prefixlen)
        return self._inside(site)

    def sibling(self, address: str) -> str:
        """Another address of the same /64."""
        return self._inside(int(ipaddress.IPv6Address(address)) >> 64)

    def _inside(self, site: int) -> str:
        return str(ipaddress.IPv6Address(site << 64 | self._random.getrandbits(63) + 2))


class SourcePool:
    """Source addresses of one deployment's clients; safe for threads, the same for the same seed and calls.

    Args:
        seed: of the run.
        prefix_v4: how many leading bits of an address are the affinity key (contract ``key_prefix.v4``), 1 to 32.
        beside: another pool of the same deployment, whose clients are strangers to this one's: no key is drawn twice.
        ranges: what is drawn from, the first one first; those in which clients cannot differ are left out.

    Raises:
        SetupFault: with such a prefix all clients of these ranges would be one.
    """

    def __init__(
        self,
        seed: int | str,
        *,
        prefix_v4: int = 32,
        beside: SourcePool | None = None,
        ranges: Sequence[str] = LOOPBACK,
    ) -> None:
        networks = [ipaddress.IPv4Network(each) for each in ranges]
        self._ranges = tuple(
            (int(each.network_address), each.prefixlen) for each in networks if each.prefixlen < prefix_v4 <= 32
        )
        if not self._ranges:
            widest = min(each.prefixlen for each in networks)
            raise SetupFault(
                f"clients of {', '.join(ranges)} cannot differ in their first {prefix_v4} bits",
                do=f"{widest + 1} to 32 bits can be checked on this network; another one may do (--network)",
            )
        self.prefix = prefix_v4
        self._host_bits = 32 - prefix_v4
        self._random = random.Random(f"sources/{seed}")
        self._keys: set[int] = beside._keys if beside else set()
        self._issued: set[int] = beside._issued if beside else set()
        self._lock: threading.Lock = beside._lock if beside else threading.Lock()

    def draw(self) -> str:
        """An address whose key no earlier one has.

        Raises:
            SetupFault: every key is used up.
        """
        with self._lock:
            for first, bits in self._ranges[:-1]:
                try:
                    return self._take(self._fresh_key(first >> self._host_bits, self.prefix - bits))
                except SetupFault:
                    continue
            first, bits = self._ranges[-1]
            return self._take(self._fresh_key(first >> self._host_bits, self.prefix - bits))

    def sibling(self, address: str) -> str:
        """A further address with the same key.

        Raises:
            HarnessFault: the key is the whole address, so that there is none.
            SetupFault: the key has no further address.
        """
        if self.prefix == 32:
            raise HarnessFault("no two addresses share a key of 32 bits", where=f"client address {address}")
        with self._lock:
            return self._take(self._key(address))

    def outside(self, address: str) -> str:
        """An address with a key of its own, as near to this one as there is.

        Near, because a balancer that looks at fewer bits than it promises takes exactly such a pair for one client.

        Raises:
            SetupFault: every key is used up.
        """
        with self._lock:
            key = self._key(address)
            for free in range(1, self.prefix - self._bits(address) + 1):
                try:
                    return self._take(self._fresh_key(key >> free << free, free))
                except SetupFault:
                    continue
        if len(self._ranges) > 1:  # its own range is used up, or too narrow for two keys
            return self.draw()
        raise SetupFault(f"no client addresses with another key of {self.prefix} bits are left")

    def _key(self, address: str) -> int:
        return int(ipaddress.IPv4Address(address)) >> self._host_bits

    def _bits(self, address: str) -> int:
        """The prefix length of the range that an address is from."""
        number = int(ipaddress.IPv4Address(address))
        return next((bits for first, bits in self._ranges if number >> 32 - bits == first >> 32 - bits), self.prefix)

    def _fresh_key(self, base: int, free_bits: int) -> int:
        """An unused key that differs from ``base`` in its last ``free_bits`` bits only."""
        size = 1 << free_bits
        for _ in range(64):
            key = base | self._random.getrandbits(free_bits)
            if self._usable(key):
                return key
        start = self._random.randrange(size)
        for step in range(size):
            key = base | ((start + step) % size)
            if self._usable(key):
                return key
        raise SetupFault(f"no client addresses with another key of {self.prefix} bits are left")

    def _usable(self, key: int) -> bool:
        # With 32 bits the key is the address, and those that look like a network or broadcast address are left out.
        return key not in self._keys and (self.prefix < 32 or key & 255 not in (0, 255))

    def _take(self, key: int) -> str:
        """An unused address with this key."""
        low = key << self._host_bits
        size = 1 << self._host_bits
        start = self._random.randrange(size)
        for step in range(min(size, 65536)):
            host = low | ((start + step) % size)
            if host not in self._issued and host & 255 not in (0, 255):
                self._keys.add(key)
                self._issued.add(host)
                return str(ipaddress.IPv4Address(host))
        raise SetupFault(f"no further client address with the same {self.prefix} bits is left")
