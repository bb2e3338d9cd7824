"""The configuration file's shape. What one key may hold is said here; what may go together, in `rules.py`."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from limpet.reference_lb.settings.durations import parse_duration

DEFAULT_DURATION = 1200.0


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


Duration = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_positive)]
Span = Annotated[float | Literal["duration"], BeforeValidator(_span)]
CookieName = Annotated[str, Field(min_length=1), AfterValidator(_token)]
CookieText = Annotated[str, Field(min_length=1), AfterValidator(_attribute)]
UrlPath = Annotated[CookieText, AfterValidator(_path)]
CookiePath = Annotated[str, AfterValidator(_attribute), AfterValidator(_cookie_path)]
Host = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
SecretKey = Annotated[bytes, BeforeValidator(_key)]


class Section(BaseModel):
    """A table of the file: no unknown keys, nothing converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Listener(Section):
    """Where clients connect. Port 0 takes a free one."""

    protocol: Literal["http", "tcp"] = "http"
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]


class Admin(Section):
    """Where the operator connects."""

    host: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    token: Annotated[str, Field(min_length=8)]


class MemberConfig(Section):
    """One backend."""

    name: Annotated[str, Field(min_length=1)]
    host: Host
    port: Port
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    drain: bool = False


class PoolConfig(Section):
    """The backends and how new sessions are spread over them."""

    algorithm: Literal["weighted-round-robin", "weighted-least-connections"] = "weighted-round-robin"
    member: tuple[MemberConfig, ...] = Field(default=(), strict=False)


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


class Application(Section):
    """The application's cookie."""

    name: CookieName


class Affinity(Section):
    """Stickiness."""

    mode: Literal["lb-cookie", "app-cookie", "source-ip", "none"] = "none"
    enabled: bool = True
    duration: Duration | None = None
    clock: Literal["idle", "absolute", "session"] = "idle"
    kept_by: Literal["balancer", "client", "both"] = "balancer"
    key_prefix: KeyPrefix = KeyPrefix()
    table_size: Annotated[int, Field(ge=1)] = 100_000
    limits: Limits = Limits()
    reaction: Reaction = Reaction()
    cookie: Cookie = Cookie()
    application: Application | None = None

    @property
    def span(self) -> float | None:
        """The duration in force in seconds; None: there is none."""
        if self.mode == "none" or self.clock == "session":
            return None
        absent = None if self.mode == "app-cookie" else DEFAULT_DURATION
        return self.duration or self.limits.default or absent


class Health(Section):
    """Active health checks: HTTP GET (2xx and 3xx are good), or a connection in TCP mode."""

    enabled: bool = True
    path: UrlPath = "/health"
    interval: Duration = 1.0
    timeout: Duration = 1.0
    rise: Annotated[int, Field(ge=1)] = 1
    fall: Annotated[int, Field(ge=1)] = 1


class Timeouts(Section):
    """How long the balancer waits."""

    connect: Duration = 1.0
    response: Duration = 60.0
    idle: Duration = 75.0


class Config(Section):
    """A whole file."""

    name: Annotated[str, Field(min_length=1)] = "limpet-lb"
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
