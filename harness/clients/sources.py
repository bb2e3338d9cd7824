"""Client addresses out of 127.128.0.0/9, drawn so that clients differ in the part that a balancer keys on."""

from __future__ import annotations

import ipaddress
import random
import threading

from limpet.harness.model.errors import HarnessFault, SetupFault

_BASE = int(ipaddress.IPv4Address("127.128.0.0"))
_BASE_PREFIX = 9


class SourcePool:
    """Source addresses of one deployment's clients; safe for threads, the same for the same seed and calls.

    Args:
        seed: of the run.
        prefix_v4: how many leading bits of an address are the affinity key (contract ``key_prefix.v4``), 10 to 32.
        beside: another pool of the same deployment, whose clients are strangers to this one's: no key is drawn twice.

    Raises:
        SetupFault: with such a prefix all loopback clients would be one.
    """

    def __init__(self, seed: int | str, *, prefix_v4: int = 32, beside: SourcePool | None = None) -> None:
        if not _BASE_PREFIX < prefix_v4 <= 32:
            raise SetupFault(
                f"clients on loopback cannot differ in their first {prefix_v4} bits",
                do="10 to 32 can be checked on loopback; for the others use a network of namespaces",
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
            return self._take(self._fresh_key(0, self.prefix - _BASE_PREFIX))

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
            bits = self.prefix - _BASE_PREFIX
            for free in range(1, bits + 1):
                try:
                    return self._take(self._fresh_key(key >> free << free, free))
                except SetupFault:
                    continue
            raise SetupFault(f"no client addresses with another key of {self.prefix} bits are left")

    def _key(self, address: str) -> int:
        return (int(ipaddress.IPv4Address(address)) - _BASE) >> self._host_bits

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
                return str(ipaddress.IPv4Address(_BASE + host))
        raise SetupFault(f"no further client address with the same {self.prefix} bits is left")
