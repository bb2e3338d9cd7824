"""A received HTTP request, and what it asks of its own answer by limpet's headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs

import msgspec

from limpet.harness.backends.echo import seconds

BIGGEST_BODY = 64 * 1024 * 1024
KEPT_BODY = 1024 * 1024
MANY_EVENTS = 1000

RawHeader = tuple[bytes, bytes]


class Steering(msgspec.Struct):
    """What a request wants its response to be; `error` names the header that makes no sense.

    `mint` is the name of a header by which the answer hands out a new session's id, where the request brings none.
    `events` is the number of events that the answer streams, one every `pause` seconds.
    """

    hold: float = 0.0
    status: int = 0
    body: int | None = None
    chunked: bool = False
    close: bool = False
    set_cookies: list[str] = msgspec.field(default_factory=list)
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    mint: str = ""
    events: int = 0
    pause: float = 0.0
    error: str = ""


@dataclass
class HttpRequest:
    """One request as it came: headers in order, exactly as received, decoded as Latin-1."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    keep_alive: bool
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0

    @property
    def path(self) -> str:
        """The target without its query; of an absolute target only the path."""
        path = self.target.partition("?")[0]
        if "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        return path

    @property
    def query(self) -> str:
        """What follows the first question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """The first value of this header, "" when absent. `name` in lower case."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""

    def cookies(self, name: str) -> list[str]:
        """Every value that was sent for this cookie, over all Cookie lines, in order."""
        found = []
        for key, value in self.headers:
            if key.lower() == "cookie":
                for pair in value.split(";"):
                    cookie, equals, content = pair.strip(" \t").partition("=")
                    if equals and cookie == name:
                        found.append(content)
        return found

    @property
    def wants_web_socket(self) -> bool:
        """Whether it is a client's handshake (RFC 6455 section 4.2.1)."""
        options = [option.strip().lower() for option in self.header("connection").split(",")]
        upgrade = self.header("upgrade").lower() == "websocket" and "upgrade" in options
        return upgrade and self.method == "GET" and bool(self.header("sec-websocket-key"))

    def form(self, name: str) -> str:
        """A field of the body, JSON or form; "" when it is not there."""
        if "json" in self.header("content-type").lower():
            try:
                value = msgspec.json.decode(bytes(self.body), type=dict[str, object]).get(name, "")
            except msgspec.DecodeError:
                return ""
            return value if isinstance(value, str) else ""
        return parse_qs(self.body.decode("utf-8", "replace")).get(name, [""])[0]

    def steering(self) -> Steering:
        """What the Limpet-… headers ask for."""
        wish = Steering()
        for key, value in self.headers:
            if key[:7].lower() == "limpet-" and not _steer(wish, key[7:].lower(), value):
                wish.error = f"{key}: {value}"
        return wish


def _number(text: str, low: int, high: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    return int(text) if low <= int(text) <= high else None


def _steer(wish: Steering, what: str, value: str) -> bool:
    match what:
        case "hold":
            hold = seconds(value)
            wish.hold = hold or 0.0
            return hold is not None
        case "status":
            status = _number(value, 200, 599)
            wish.status = status or 0
            return status is not None
        case "body":
            wish.body = _number(value, 0, BIGGEST_BODY)
            return wish.body is not None
        case "events":
            events = _number(value, 1, MANY_EVENTS)
            wish.events = events or 0
            return events is not None
        case "pause":
            pause = seconds(value)
            wish.pause = pause or 0.0
            return pause is not None
        case "chunked":
            wish.chunked = value == "1"
        case "close":
            wish.close = value == "1"
        case _ if what.rstrip("0123456789-") == "set-cookie":
            # Numbered where there are several: a proxy may join repeated headers, and these hold commas of their own.
            wish.set_cookies.append(value)
        case "header":
            name, colon, content = value.partition(":")
            wish.headers.append((name.strip(), content.strip()))
            return bool(colon and name.strip())
        case "mint":
            wish.mint = value.strip()
            return bool(wish.mint)
    return True
