"""The texts and bytes in a cookie value: percent, base64 and hex decodings, also nested, and texts in records."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_to_bytes

MAX_DEPTH = 3
MAX_LAYERS = 200
MAX_OCTETS = 16_384
"""Only the first octets of a value are looked into, so that a hostile one costs little."""

_SHORTEST = 4
"""Characters of the shortest token that is decoded: three octets of base64, two of hex."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_LETTERS_DIGITS = re.compile(r"[A-Za-z0-9]+={0,2}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_RUN = re.compile(rb"[ -~]{6,}")
"""Text within decoded octets that are no text as a whole, such as the strings of a protobuf record."""


@dataclass(frozen=True)
class Layer:
    """One reading of a cookie value. ``how`` is the chain of decodings, outermost first; () for the value itself.

    ``places`` is the number of octets that a reading was cut out of, because it happened to be text; 1 for any other.
    """

    data: bytes
    how: tuple[str, ...] = ()
    places: int = 1

    @cached_property
    def text(self) -> str | None:
        """The text where every octet is printable ASCII or white space, else None: random octets rarely are."""
        if all(32 <= octet < 127 or octet in b"\t\r\n" for octet in self.data):
            return self.data.decode("ascii")
        return None


def layers(value: str) -> list[Layer]:
    """Every reading of a value, itself first, nested ones up to ``MAX_DEPTH`` decodings deep."""
    found = [Layer(value.encode("utf-8", "surrogatepass")[:MAX_OCTETS])]
    seen = {found[0].data}
    for layer in found:  # grows while it runs
        if len(layer.how) == MAX_DEPTH:
            continue
        for decoded in _decodings(layer):
            if decoded.data and decoded.data not in seen and len(found) < MAX_LAYERS:
                seen.add(decoded.data)
                found.append(decoded)
    return found


def _decodings(layer: Layer) -> Iterator[Layer]:
    text = layer.text
    if text is None:
        for run in _RUN.finditer(layer.data) if layer.how else ():
            yield Layer(run[0], (*layer.how, "text within"), len(layer.data) * layer.places)
        return
    if "%" in text:
        yield Layer(unquote_to_bytes(text), (*layer.how, "percent"), layer.places)
    for pattern, how in ((_BASE64, "base64"), (_BASE64URL, "base64url"), (_LETTERS_DIGITS, "base64")):
        for found in pattern.finditer(text):
            decoded = _base64(found[0])
            if decoded is not None:
                yield Layer(decoded, (*layer.how, how), layer.places)
    for found in _HEX.finditer(text):
        whole = _is_token(text, found.start(), found.end())
        if whole and len(found[0]) >= _SHORTEST and len(found[0]) % 2 == 0:
            yield Layer(bytes.fromhex(found[0]), (*layer.how, "hex"), layer.places)


def _base64(token: str) -> bytes | None:
    bare = token.rstrip("=")
    if len(bare) < 3 or len(token) < 3 or len(bare) % 4 == 1:
        return None
    try:
        return base64.b64decode(bare.translate(_URL_SAFE) + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return None


_URL_SAFE = str.maketrans("-_", "+/")


def _is_token(text: str, start: int, end: int) -> bool:
    return not (start and text[start - 1].isalnum()) and not text[end : end + 1].isalnum()
