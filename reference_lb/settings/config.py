"""The configuration file's shape. What one key may hold is said here; what may go together, in `rules.py`."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from limpet.reference_lb.settings.durations import parse_duration

DEFAULT_DURATION = 1200.0
DEFAULT_FLOW = 120.0


def _span(value: object) -> object:
    return value if value == "duration" else parse_duration(value)


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("it must be longer than 0")
    return value


def _token(value: str) -> str:
    bad = sorted({c for c in value if not (c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~"))})
    if bad:
        raise ValueError(
            f"a cookie name may not hold {' '.join(repr(c) for c in bad)} (RFC 6265: letters, digits, -_. …)"
        )
    return value


def _header_name(value: str) -> str:
    bad = sorted({c for c in value if not (c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~"))})
    if bad:
        raise ValueError(f"a header name may not hold {' '.join(repr(c) for c in bad)} (RFC 9110: letters, digits, -…)")
    return value


def _url_name(value: str) -> str:
    bad = sorted({c for c in value if not (c.isascii() and (c.isalnum() or c in "-._~"))})
    if bad:
        raise ValueError(f"{' '.join(repr(c) for c in bad)} would need escapes (RFC 3986: write letters, digits, -._~)")
    return value


def _attribute(value: str) -> str:
    if any(c == ";" or not " " <= c <= "~" for c in value):
        raise ValueError("a cookie attribute holds printable ASCII without ';'")
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError('a path begins with "/"')
    return value


def _cookie_path(value: str) -> str:
    return _path(value) if value else value


def _key(value: object) -> object:
    import binascii
    from base64 import b64decode

    if isinstance(value, bytes):
        return value
    try:
        key = b64decode(str(value), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError("a key is 32 random bytes in base64 (openssl rand -base64 32)")
    return key


def _loopback(value: str) -> str:
    try:
        loopback = value == "localhost" or ip_address(value).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError("the admin API listens on a loopback address only, such as 127.0.0.1")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f"it is no network ({error}); write one such as 10.0.0.0/8 or 2001:db8::/32") from None


Duration = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_positive)]
Span = Annotated[float | Literal["duration"], BeforeValidator(_span)]
CookieName = Annotated[str, Field(min_length=1), AfterValidator(_token)]
HeaderName = Annotated[str, Field(min_length=1), AfterValidator(_header_name)]
UrlName = Annotated[str, Field(min_length=1), AfterValidator(_url_name)]
CookieText = Annotated[str, Field(min_length=1), AfterValidator(_attribute)]
UrlPath = Annotated[CookieText, AfterValidator(_path)]
CookiePath = Annotated[str, AfterValidator(_attribute), AfterValidator(_cookie_path)]
Host = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[str, Field(min_length=1)]
Network = Annotated[str, AfterValidator(_network)]
SecretKey = Annotated[bytes, BeforeValidator(_key)]


class Section(BaseModel):
    """A table of the file: no unknown keys, nothing converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Tls(Section):
    """TLS for clients. Without a certificate one is made at start; `publish` is the file that it is written to."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    names: tuple[Host, ...] = Field(default=(), strict=False)
    publish: FilePath | None = None


class Rule(Section):
    """Requests for what is below `path` go to another group of the same servers, with pins of its own."""

    path: UrlPath
    group: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Listener(Section):
    """Where clients connect. Port 0 takes a free one.

    `trusted`: networks of proxies that may say whom they speak for, in the header `forwarded` or by the PROXY protocol.
    `flows`: how many UDP flows may be open at once; when full, the one that was used longest ago goes.
    """

    protocol: Literal["http", "tcp", "udp"] = "http"
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    tls: Tls | None = None
    http2: bool = False
    trusted: tuple[Network, ...] = Field(default=(), strict=False)
    forwarded: Literal["x-forwarded-for", "x-real-ip", "forwarded"] | None = None
    proxy_protocol: bool = False
    flows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    rule: tuple[Rule, ...] = Field(default=(), strict=False)


class Admin(Section):
    """Where the operator connects."""

    host: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    token: Annotated[str, Field(min_length=8)]


class ServerConfig(Section):
    """One server of a group."""

    host: Host
    port: Port


class MemberConfig(Section):
    """One backend."""

    name: Annotated[str, Field(min_length=1)]
    host: Host
    port: Port
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    drain: bool = False


class GroupConfig(Section):
    """A group of servers that stands in the pool as one backend: pins lead to it, its servers take turns."""

    name: Annotated[str, Field(min_length=1)]
    servers: Annotated[tuple[ServerConfig, ...], Field(min_length=1, strict=False)]
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    drain: bool = False


class PoolConfig(Section):
    """The backends, or groups of them, and how new sessions are spread over them."""

    algorithm: Literal["weighted-round-robin", "weighted-least-connections"] = "weighted-round-robin"
    member: tuple[MemberConfig, ...] = Field(default=(), strict=False)
    group: tuple[GroupConfig, ...] = Field(default=(), strict=False)

    @property
    def wanted(self) -> tuple[MemberConfig | GroupConfig, ...]:
        """Whichever of the two there are."""
        return self.group or self.member


class Limits(Section):
    """What `affinity.duration` may be."""

    default: Duration | None = None
    min: Duration | None = None
    max: Duration | None = None


class KeyPrefix(Section):
    """How many leading bits of the client's address count."""

    v4: Annotated[int, Field(ge=0, le=32)] = 32
    v6: Annotated[int, Field(ge=0, le=128)] = 128


class Reaction(Section):
    """What happens when something is wrong."""

    unhealthy: Literal["repin", "reroute", "refuse", "stay"] = "repin"
    in_request: Literal["retry", "may-fail"] = "may-fail"
    draining: Literal["repin", "keep"] = "repin"
    drain_timeout: Duration | None = None
    recovered: Literal["stay", "return"] = "stay"
    bad_cookie: Literal["replace", "ignore", "refuse"] = "replace"
    ip_change: Literal["keep", "invalidate"] = "keep"


class CookieAttributes(Section):
    """The attributes of a cookie; absent ones are not sent, but Path is "/", and "" leaves it out."""

    path: CookiePath = "/"
    domain: CookieText | None = None
    expires: Span | None = None
    max_age: Span | None = None
    secure: Literal[True, False, "https"] = False
    http_only: bool = False
    same_site: Literal["Lax", "Strict", "None"] | None = None
    partitioned: bool = False


class Twin(CookieAttributes):
    """A second cookie with the same value. What is not given here is as in the cookie."""

    name: CookieName


class Cookie(CookieAttributes):
    """The balancer's cookie."""

    name: CookieName = "LIMPET"
    issued: Literal["every-response", "first-response", "on-change"] = "every-response"
    strip: bool = True
    keys: tuple[SecretKey, ...] = Field(default=(), strict=False)
    twin: Twin | None = None


class ShardsConfig(Section):
    """How a long value is cut: `prefix` and a number from 0 name the pieces, each `size` bytes with its name."""

    prefix: CookieName
    size: Annotated[int, Field(ge=256, le=65536)] = 4096
    count: Annotated[int, Field(ge=1, le=10)] = 4


class Companion(CookieAttributes):
    """The balancer's own cookie beside the application's: a name, or a name for its shards.

    `carries`: the pin, encrypted, renewed by every response; or a ticket, the number of a pin that is kept here.
    """

    name: CookieName | None = None
    shards: ShardsConfig | None = None
    carries: Literal["pin", "ticket"] = "pin"
    lifetime: Literal["own", "application"] = "own"
    strip: bool = True
    keys: tuple[SecretKey, ...] = Field(default=(), strict=False)
    twin: Twin | None = None


class Application(Section):
    """The application's cookie; `mark`: how a server's name stands in it, with the `separator` before or behind it."""

    name: CookieName
    mark: Literal["none", "prefix", "rewrite", "route"] = "none"
    separator: Literal["~", ".", "!", ":", "-"] | None = None


class Header(Section):
    """The header that holds the key; `minted`: responses hand keys out by a header of the same name."""

    name: HeaderName
    minted: bool = False


class Url(Section):
    """Where the URL holds the session id; what the application's cookie of the same id is for."""

    path_parameter: UrlName | None = None
    query: UrlName | None = None
    minted: bool = False
    cookie: Literal["unread", "after", "before"] = "unread"


class Affinity(Section):
    """Stickiness."""

    mode: Literal["lb-cookie", "app-cookie", "source-ip", "flow", "header", "url", "tls-session-id", "none"] = "none"
    enabled: bool = True
    duration: Duration | None = None
    clock: Literal["idle", "absolute", "session"] = "idle"
    kept_by: Literal["balancer", "client", "both"] = "balancer"
    key_prefix: KeyPrefix = KeyPrefix()
    store: Literal["table", "hash-modulo", "hash-consistent"] = "table"
    table_size: Annotated[int, Field(ge=1)] = 100_000
    limits: Limits = Limits()
    reaction: Reaction = Reaction()
    cookie: Cookie = Cookie()
    application: Application | None = None
    header: Header | None = None
    url: Url | None = None
    companion: Companion | None = None

    @property
    def span(self) -> float | None:
        """The duration in force in seconds; None: there is none."""
        if self.mode == "none" or self.clock == "session" or self.store != "table":
            return None
        absent = {"app-cookie": None, "flow": DEFAULT_FLOW}.get(self.mode, DEFAULT_DURATION)
        return self.duration or self.limits.default or absent


class Health(Section):
    """Active health checks: HTTP GET (2xx and 3xx are good), or a TCP connection in TCP and UDP mode."""

    enabled: bool = True
    path: UrlPath = "/health"
    interval: Duration = 1.0
    timeout: Duration = 1.0
    rise: Annotated[int, Field(ge=1)] = 1
    fall: Annotated[int, Field(ge=1)] = 1


class Timeouts(Section):
    """How long the balancer waits; `flow` is the idle timeout of UDP flows, counted by the affinity clock."""

    connect: Duration = 1.0
    response: Duration = 60.0
    idle: Duration = 75.0
    flow: Duration = DEFAULT_FLOW


class Config(Section):
    """A whole file."""

    name: Annotated[str, Field(min_length=1)] = "limpet-lb"
    preset: str | None = None
    listener: Listener
    admin: Admin | None = None
    pool: PoolConfig = PoolConfig()
    affinity: Affinity = Affinity()
    health: Health = Health()
    timeouts: Timeouts = Timeouts()

    _source: Path | None = PrivateAttr(default=None)

    @property
    def source(self) -> Path | None:
        """The file it was read from."""
        return self._source
