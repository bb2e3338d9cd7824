"""Cookie syntax on the balancer's side (RFC 6265bis sections 4.1 and 5.6), reading leniently, writing strictly."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache

from limpet.reference_lb.parts.records import SetCookie

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_INSTANT = 253402300799  # 9999-12-31T23:59:59Z: the format has four digits for the year


@lru_cache(maxsize=256)
def _http_date(second: int) -> str:
    t = time.gmtime(min(second, _LAST_INSTANT))
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    )


def http_date(instant: float) -> str:
    """An instant as IMF-fixdate, cut to the whole second."""
    return _http_date(int(instant))


@lru_cache(maxsize=256)
def _date_line(second: int) -> bytes:
    return b"Date: " + _http_date(second).encode()


def date_line(instant: float) -> bytes:
    """The Date header."""
    return _date_line(int(instant))


def pairs(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each cookie in one Cookie header. Spaces around both and quotes around the value go."""
    for piece in header.split(b";"):
        name, equals, value = piece.partition(b"=")
        name = name.strip(b" \t")
        if not equals or not name:
            continue
        value = value.strip(b" \t")
        if len(value) >= 2 and value[:1] == b'"' and value[-1:] == b'"':
            value = value[1:-1]
        yield name, value


_REPEATED = 2048  # bytes of a Cookie header at the most: clients repeat theirs with every request


def cookies_of(header: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The `pairs` of one Cookie header of a request."""
    return _pairs(header) if len(header) <= _REPEATED else pairs(header)


@lru_cache(maxsize=1024)
def _pairs(header: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pairs(header))


def without(header: bytes, names: frozenset[bytes]) -> bytes | None:
    """The Cookie header without the cookies `names`, else byte for byte; None when nothing is left of it."""
    return _known_without(header, names) if len(header) <= _REPEATED else _without(header, names)


def _without(header: bytes, names: frozenset[bytes]) -> bytes | None:
    if not any(name in header for name in names):
        return header
    pieces = header.split(b";")
    kept = [piece for piece in pieces if piece.partition(b"=")[0].strip(b" \t") not in names]
    if len(kept) == len(pieces):
        return header
    return b";".join(kept).strip(b" \t") or None


_known_without = lru_cache(maxsize=1024)(_without)


def render(cookie: SetCookie) -> bytes:
    """The value of a Set-Cookie header."""
    parts = [f"{cookie.name}={cookie.value}"]
    if cookie.expires is not None:
        parts.append(f"Expires={http_date(cookie.expires)}")
    if cookie.max_age is not None:
        parts.append(f"Max-Age={cookie.max_age}")
    if cookie.domain is not None:
        parts.append(f"Domain={cookie.domain}")
    if cookie.path is not None:
        parts.append(f"Path={cookie.path}")
    if cookie.secure:
        parts.append("Secure")
    if cookie.http_only:
        parts.append("HttpOnly")
    if cookie.same_site is not None:
        parts.append(f"SameSite={cookie.same_site}")
    if cookie.partitioned:
        parts.append("Partitioned")
    return "; ".join(parts).encode("latin-1")


def ends_cookie(attributes: bytes, now: float) -> bool:
    """Whether the attributes of a Set-Cookie (what follows the value) delete the cookie.

    Max-Age wins over Expires. An Expires that cannot be read ends nothing.
    """
    from email.utils import parsedate_to_datetime

    expired = False
    for name, value in pairs(attributes):
        lowered = name.lower()
        if lowered == b"max-age":
            digits = value.removeprefix(b"-")
            if digits.isdigit():
                return value.startswith(b"-") or int(digits) == 0
        elif lowered == b"expires":
            try:
                expired = parsedate_to_datetime(value.decode("latin-1")).timestamp() <= now
            except ValueError:
                continue
    return expired
