"""One ``Set-Cookie`` line, as a user agent reads it (RFC 6265bis section 5.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from limpet.harness.model.cookies.dates import parse_cookie_date

SameSite = Literal["strict", "lax", "none", "default"]

NAME_AND_VALUE_LIMIT = 4096
"""Octets of name and value together; a cookie beyond it is ignored as a whole."""
ATTRIBUTE_LIMIT = 1024
"""Octets of one attribute's value; an attribute beyond it is ignored, the cookie is not."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_AGE = re.compile(r"-?[0-9]*")
_KNOWN = frozenset({"path", "domain", "expires", "max-age", "secure", "httponly", "samesite", "partitioned"})


@dataclass(frozen=True)
class Attribute:
    """One attribute as written, trimmed. ``value`` is None where there is no ``=`` (``Secure``), "" for ``Path=``."""

    name: str
    value: str | None
    ignored: str = ""
    """Why a user agent must ignore this attribute, "" when it counts."""

    @property
    def key(self) -> str:
        """The name in lower case (ASCII letters only), as user agents compare it."""
        return _lower(self.name)


@dataclass(frozen=True)
class SetCookie:
    """A ``Set-Cookie`` line that a user agent considers.

    Where an attribute is given more than once, the last one that counts decides, as for user agents; ``attributes``
    keeps all of them in order. None means the attribute is absent; "" that it is present without a value. For
    ``expires`` and ``max_age``, ``…_raw`` present with a None beside it means: sent, but no user agent can use it.
    """

    name: str
    value: str
    raw: str
    attributes: tuple[Attribute, ...] = ()
    path: str | None = None
    """As written. A user agent uses the default path unless it begins with a slash."""
    domain: str | None = None
    """As written. A user agent drops one leading dot and compares in lower case."""
    expires_raw: str | None = None
    expires: float | None = None
    """Unix seconds."""
    max_age_raw: str | None = None
    max_age: int | None = None
    """Seconds; may be zero, negative or huge, as sent."""
    secure: bool = False
    http_only: bool = False
    same_site_raw: str | None = None
    same_site: SameSite = "default"
    """``default`` when absent or not one of the three words; user agents treat it much like ``lax``."""
    partitioned: bool = False
    unknown: tuple[Attribute, ...] = ()
    """Attributes the specification does not know."""

    def count(self, attribute: str) -> int:
        """How often an attribute (any case) was written, those a user agent ignores included."""
        return sum(1 for found in self.attributes if found.key == attribute.lower())

    @property
    def persistent(self) -> bool:
        """Whether the cookie has a usable end of its own, so that it outlives the browser session."""
        return self.max_age is not None or self.expires is not None


@dataclass(frozen=True)
class Ignored:
    """A ``Set-Cookie`` line that every user agent must drop as a whole, and why."""

    raw: str
    reason: str


@lru_cache(maxsize=4096)  # each line is read by the jar, by the oracle and by some checks
def parse_set_cookie(line: str) -> SetCookie | Ignored:
    """Reads the value of one ``Set-Cookie`` header (without the header's name). Never raises.

    A text of characters up to U+00FF counts one octet each (header bytes read as latin-1), any other as UTF-8.
    """
    if found := _CONTROL.search(line):
        return Ignored(line, f"control character 0x{ord(found[0]):02x} at offset {found.start()}")
    pair, *rest = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(" \t"), value.strip(" \t")
    if not name and not value:
        return Ignored(line, "neither a name nor a value")
    size = octets(name) + octets(value)
    if size > NAME_AND_VALUE_LIMIT:
        return Ignored(line, f"name and value take {size} octets, more than {NAME_AND_VALUE_LIMIT}")
    return _with_attributes(name, value, line, tuple(_attribute(part) for part in rest if part.strip(" \t")))


def octets(text: str) -> int:
    """Size of a header text: latin-1 where it fits, else UTF-8 (lone surrogates included)."""
    try:
        return len(text.encode("latin-1"))
    except UnicodeEncodeError:
        return len(text.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=2048)  # the value of a cookie is another one for each user, its attributes are not
def _attribute(part: str) -> Attribute:
    name, equals, value = part.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    return Attribute(name, value if equals else None, _fault(_lower(name), value))


def _fault(key: str, value: str) -> str:
    if octets(value) > ATTRIBUTE_LIMIT:
        return f"longer than {ATTRIBUTE_LIMIT} octets"
    if key == "expires" and parse_cookie_date(value) is None:
        return "not a date"
    if key == "max-age" and (value in ("", "-") or not _MAX_AGE.fullmatch(value)):
        return "not a number of seconds"
    return ""


def _with_attributes(name: str, value: str, line: str, attributes: tuple[Attribute, ...]) -> SetCookie:
    effective = {found.key: found.value or "" for found in attributes if not found.ignored}
    written = {found.key: found.value or "" for found in attributes}
    expires, max_age, site = effective.get("expires"), effective.get("max-age"), effective.get("samesite")
    return SetCookie(
        name=name,
        value=value,
        raw=line,
        attributes=attributes,
        path=effective.get("path"),
        domain=effective.get("domain"),
        expires_raw=expires if expires is not None else written.get("expires"),
        expires=None if expires is None else parse_cookie_date(expires),
        max_age_raw=max_age if max_age is not None else written.get("max-age"),
        max_age=None if max_age is None else int(max_age),
        secure="secure" in effective,
        http_only="httponly" in effective,
        same_site_raw=site if site is not None else written.get("samesite"),
        same_site=_same_site(site),
        partitioned="partitioned" in effective,
        unknown=tuple(found for found in attributes if found.key not in _KNOWN),
    )


def _same_site(value: str | None) -> SameSite:
    match _lower(value or ""):
        case "strict":
            return "strict"
        case "lax":
            return "lax"
        case "none":
            return "none"
        case _:
            return "default"


@lru_cache(maxsize=1024)
def _lower(text: str) -> str:
    # str.lower() would fold the Kelvin sign to "k" and so make attributes out of other words.
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
