"""Bindings that the client carries: the balancer's cookie is the store."""

from __future__ import annotations

from limpet.reference_lb.parts.binding_stores import NoStore
from limpet.reference_lb.parts.key_ring import KEPT_KEYS, KeyRing
from limpet.reference_lb.parts.protocols import Memory
from limpet.reference_lb.parts.records import Binding


class CookieStore(NoStore):
    """Finds a binding by decrypting the key, and issues it by encrypting."""

    carried = True

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._configured = ring.keys

    def find(self, key: str) -> Binding | None:
        """The binding that the value holds."""
        return self._ring.decrypt(key)

    def token(self, binding: Binding) -> str | None:
        """A fresh value."""
        return self._ring.encrypt(binding)

    def rotate(self) -> None:
        """Put a new key in front."""
        self._ring = self._ring.rotated()

    def memory(self) -> Memory:
        """The keys."""
        return Memory(keys=self._ring.keys)

    def adopt(self, memory: Memory) -> None:
        """Keep the predecessor's ring; keys that the configuration names for the first time go in front of it."""
        if memory.keys:
            first = tuple(key for key in self._configured if key not in memory.keys)
            self._ring = self._ring.with_keys((*first, *memory.keys)[:KEPT_KEYS])
