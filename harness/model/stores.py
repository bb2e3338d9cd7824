"""Addresses of session stores, as targets and command lines give them."""

from __future__ import annotations

from urllib.parse import urlsplit

SCHEMES = ("redis", "rediss", "unix")


def wrong_url(url: str) -> str:
    """What is wrong with the URL of a session store; "" when nothing is."""
    try:
        parts = urlsplit(url)
        named = bool(parts.path) if parts.scheme == "unix" else bool(parts.hostname) and parts.port != 0
    except ValueError as err:
        return f"{without_password(url)!r} is no address: {err}"
    if parts.scheme not in SCHEMES or not named:
        return f"{without_password(url)!r} is no address of a session store; write redis://HOST:PORT"
    return ""


def host_of(url: str) -> str:
    """The host that it names, "" for a socket of this machine."""
    parts = urlsplit(url)
    return "" if parts.scheme == "unix" else parts.hostname or ""


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}{slashes}***@{after}"
