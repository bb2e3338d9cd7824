"""Cookie values made of somebody's good one that are good no more."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Protocol, TypeVar
from urllib.parse import quote

_LETTERS = string.ascii_letters + string.digits
_TO_LETTERS = bytes(ord(_LETTERS[byte % len(_LETTERS)]) for byte in range(256))
_HEXADECIMAL = "0123456789abcdef"
T = TypeVar("T")


class Luck(Protocol):
    """What is asked of a `random.Random`, which the model does not import: luck is its caller's."""

    def choice(self, seq: Sequence[T], /) -> T:
        """One of them."""

    def randbytes(self, n: int, /) -> bytes:
        """So many bytes, each as likely as any other."""


def letters(rng: Luck, count: int) -> str:
    """So many letters and digits; some are a little more likely than others, which no cookie's reader can mind."""
    return rng.randbytes(count).translate(_TO_LETTERS).decode("ascii")


def same_shape(rng: Luck, value: str) -> str:
    """Another value of the same length, with a character of the same sort in every place."""
    return "".join(_like(rng, each, value) for each in value)


def flipped(rng: Luck, value: str) -> str | None:
    """The value with one character in its middle changed; None where nothing there could be.

    In its middle, because at its ends an encoding may leave bits unused.
    """
    places = [at for at in range(len(value) // 3, max(len(value) // 3 + 1, 2 * len(value) // 3)) if _sort(value[at:])]
    if not places:
        return None
    at = rng.choice(places)
    new = value[at]
    while new == value[at]:
        new = _like(rng, value[at], value)
    return value[:at] + new + value[at + 1 :]


def encoded(value: str) -> str:
    """The value percent-encoded; every character of it where none needs to be."""
    usual = quote(value, safe="")
    return usual if usual != value else "".join(f"%{ord(each):02X}" for each in value)


def _like(rng: Luck, old: str, value: str) -> str:
    """A character that could stand in the place of this one."""
    if len(value) >= 8 and set(value.lower()) <= set(_HEXADECIMAL):
        return rng.choice(_HEXADECIMAL.upper() if value.isupper() else _HEXADECIMAL)
    return rng.choice(_sort(old) or old)


def _sort(text: str) -> str:
    """All characters of the sort of the first one; "" where it is neither a letter nor a digit."""
    sorts = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    return next((sort for sort in sorts if text[:1] and text[:1] in sort), "")
