"""The ``Cookie`` request header, as servers read and clients write it (RFC 6265bis sections 4.2 and 5.8)."""

from __future__ import annotations

from collections.abc import Iterable


def parse_cookie_headers(values: str | Iterable[str]) -> list[tuple[str, str]]:
    """The cookies of one or several ``Cookie`` headers as (name, value), in order, duplicates kept.

    Several headers count as one joined by ``"; "`` (RFC 9113 section 8.2.3). Quotes belong to the value, a part without
    ``=`` is a cookie with an empty name, empty parts are skipped. Never raises.
    """
    headers = [values] if isinstance(values, str) else values
    pairs: list[tuple[str, str]] = []
    for header in headers:
        for part in header.split(";"):
            name, equals, value = part.strip(" \t").partition("=")
            if equals:
                pairs.append((name.rstrip(" \t"), value.lstrip(" \t")))
            elif name:
                pairs.append(("", name))
    return pairs


def format_cookie_header(pairs: Iterable[tuple[str, str]]) -> str:
    """The value of one ``Cookie`` header; a cookie without a name is written as its value alone.

    Nothing is checked or encoded: clients of limpet send bad cookies on purpose.
    """
    return "; ".join(f"{name}={value}" if name else value for name, value in pairs)
