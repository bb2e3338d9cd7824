"""The key ring of the balancer's cookie: AES-256-GCM, the newest key encrypts, every key decrypts."""

from __future__ import annotations

import binascii
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from limpet.reference_lb.parts.records import Binding

_CONTEXT = b"limpet reference balancer, cookie 1"
_TIMES = struct.Struct(">dd")
_NONCE = 12
_TAG = 16
_BLOCK = 64  # plain texts are filled up, so that a value's length does not tell which member it names
_LONGEST = 4096
KEPT_KEYS = 8
_REMEMBERED = 4096
"""Values whose meaning a ring remembers. What follows from it, expiry above all, is judged at each use."""
_REMEMBERED_LONGEST = 512

AESGCM(bytes(32))  # the first one loads the library's provider; at import, so that a fork server pays for it once


class KeyRing:
    """Binding ↔ opaque cookie value (base64url without padding).

    Args:
        keys: 32 bytes each, newest first; empty makes a random one.
        longest: characters of a value at the most; a longer one is not even tried.
    """

    def __init__(self, keys: tuple[bytes, ...] = (), longest: int = _LONGEST) -> None:
        self._longest = longest
        self._keys = keys or (os.urandom(32),)
        self._ciphers = [AESGCM(key) for key in self._keys]
        self._read = lru_cache(_REMEMBERED)(self._decrypt)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Newest first."""
        return self._keys

    def rotated(self) -> KeyRing:
        """A ring with a new random key in front; the oldest beyond eight is dropped."""
        return KeyRing((os.urandom(32), *self._keys)[:KEPT_KEYS], self._longest)

    def with_keys(self, keys: tuple[bytes, ...]) -> KeyRing:
        """A ring of these keys instead."""
        return KeyRing(keys, self._longest)

    def encrypt(self, binding: Binding) -> str:
        """A value that differs at every call."""
        names = "\0".join((binding.backend, binding.home, binding.source, binding.carries)).encode()
        plain = _TIMES.pack(binding.created, binding.used) + names + b"\0"
        plain += bytes(-len(plain) % _BLOCK)
        nonce = os.urandom(_NONCE)
        return urlsafe_b64encode(nonce + self._ciphers[0].encrypt(nonce, plain, _CONTEXT)).rstrip(b"=").decode()

    def decrypt(self, value: str) -> Binding | None:
        """The binding; None when no key of the ring made this value."""
        if len(value) > self._longest:
            return None
        return self._read(value) if len(value) <= _REMEMBERED_LONGEST else self._decrypt(value)

    def _decrypt(self, value: str) -> Binding | None:
        if not value.isascii():
            return None
        text = value.encode()
        try:
            raw = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            return None
        # The lenient decoder skips foreign characters: only the very text that was issued is valid.
        if len(raw) < _NONCE + _TIMES.size + _TAG or urlsafe_b64encode(raw).rstrip(b"=") != text:
            return None
        for age, cipher in enumerate(self._ciphers):
            try:
                plain = cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _CONTEXT)
            except InvalidTag:
                continue
            return _read(plain, outdated=age > 0)
        return None


def _read(plain: bytes, outdated: bool) -> Binding:
    created, used = _TIMES.unpack_from(plain)
    backend, home, source = plain[_TIMES.size :].decode().split("\0")[:3]
    return Binding(backend, created, used, home, source, outdated)
