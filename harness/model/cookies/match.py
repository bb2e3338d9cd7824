"""When a cookie belongs to a request: hosts, paths (RFC 6265bis sections 5.1.2 to 5.1.4)."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Target:
    """What the cookie rules need of a request's URL. ``host`` is canonical, ``path`` is without query."""

    scheme: str
    host: str
    path: str


# A run names few hosts and asks for them tens of thousands of times.
@functools.lru_cache(maxsize=1024)
def split_url(url: str) -> Target:
    """The parts of an absolute URL.

    Raises:
        ValueError: the URL is not absolute or names no host.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        raise ValueError(f"not an absolute URL: {url!r}")
    return Target(parts.scheme.lower(), canonical_host(parts.hostname), parts.path)


@functools.lru_cache(maxsize=1024)
def canonical_host(host: str) -> str:
    """Lower-case ASCII form of a host: A-labels for names beyond ASCII, compressed form for IPv6 (no brackets)."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = _address(bare)
    if address is not None:
        return address.compressed
    if not bare.isascii():
        try:
            bare = bare.encode("idna").decode("ascii")
        except UnicodeError:
            return bare.lower()
    return bare.lower()


def is_address(host: str) -> bool:
    """Whether a canonical host is an IPv4 or IPv6 address: addresses have no parent domain."""
    return _address(host) is not None


def is_loopback(host: str) -> bool:
    """Whether a canonical host is this machine by name (``localhost`` and below) or by address."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def domain_match(host: str, domain: str) -> bool:
    """Whether a canonical host lies within a lower-case cookie domain.

    An address matches only itself: ``7.0.0.1`` is no parent of ``127.0.0.1``, nor is ``0.0.1``.
    """
    if host == domain:
        return True
    return bool(domain) and host.endswith("." + domain) and not is_address(host)


def path_match(request_path: str, cookie_path: str) -> bool:
    """Whether a request's path lies within a cookie's path; compared byte by byte, nothing is percent-decoded."""
    path = request_path or "/"
    if path == cookie_path:
        return True
    return path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")


def default_path(request_path: str) -> str:
    """The path of a cookie that came without a usable one: the folder of the request, without the last slash."""
    if not request_path.startswith("/") or request_path.count("/") == 1:
        return "/"
    return request_path[: request_path.rindex("/")]


@functools.lru_cache(maxsize=1024)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
