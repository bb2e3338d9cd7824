"""A target directory's ``target.toml``: one balancer under test, as data.

Every model forbids unknown keys; `limpet.harness.targets.load` reports all problems of a file at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from limpet.harness.model.contract.durations import Seconds
from limpet.harness.model.stores import host_of, wrong_url
from limpet.harness.targets.addresses import is_loopback, split_address
from limpet.harness.targets.control import Control, Part, Steps
from limpet.harness.targets.granted import Budget, Gate, Timing

Table = dict[str, object]
"""A raw TOML table, not yet understood."""


def _one_or_many(given: object) -> object:
    return given if isinstance(given, list | tuple) else (given,)


class Config(Part):
    """A template and the file in the work directory that it is rendered to (default: its name without ``.j2``)."""

    template: str
    to: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        return {"template": given} if isinstance(given, str) else given

    @property
    def destination(self) -> str:
        """File name below the work directory."""
        return self.to or self.template.rpartition("/")[2].removesuffix(".j2")


class Binary(Part):
    """A program found on PATH or inside an installed Python package; its ``name`` becomes a placeholder.

    ``path`` is a glob below the package's directory; ``install`` is the line that installs it.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    package: str = ""
    path: str = ""
    install: str = ""
    prefer: Literal["package", "path"] = "package"


class Launch(Part):
    """How limpet starts the balancer: ``command`` runs a program, ``python`` forks ``module:function`` with ``args``.

    It is ready when ``ready_url`` accepts a connection (``tcp``), answers in HTTP whatever it says (``http``) or with
    this status (``http:200``), or when its output matches (``log:REGEX``). ``version`` is a text, or a command whose
    output holds the version. ``own_host``: it changes the network of the host that it runs on, and so must have one of
    a lab's for itself.
    """

    command: tuple[str, ...] = ()
    python: str = ""
    args: tuple[str, ...] = ()
    binary: Binary | None = None
    config: Annotated[tuple[Config, ...], BeforeValidator(_one_or_many)] = ()
    certificate: str = Field(default="", description="file in the work directory that gets a certificate and its key")
    ready: str = "tcp"
    ready_url: str = "{balancer.url}/"
    ready_timeout: Seconds = 10.0
    stop_grace: Seconds = 2.0
    env: dict[str, str] = Field(default_factory=dict)
    version: str | tuple[str, ...] = ""
    at_least: str = Field(default="", pattern=r"^(\d+(\.\d+)+)?$", description="the oldest version that can do this")
    own_host: bool = Field(default=False, description="changes its host's network: only with --network namespace")
    version_required: bool = Field(default=False, description="only the version whose documentation was read")

    @model_validator(mode="after")
    def _startable(self) -> Launch:
        if bool(self.command) == bool(self.python):
            raise ValueError("give either command or python")
        if (self.at_least or self.version_required) and not self.version:
            raise ValueError("at_least and version_required go by version: say how to find it out")
        if self.args and not self.python:
            raise ValueError("args go with python; a command carries its own")
        if not re.fullmatch(r"tcp|http(:[1-5]\d\d)?|log:.*", self.ready, re.DOTALL):
            raise ValueError(f'ready = "{self.ready}" is not a valid word; valid: tcp, http, http:STATUS, log:REGEX')
        if self.ready.startswith("log:"):
            try:
                re.compile(self.ready[4:])
            except re.error as err:
                raise ValueError(f"ready: {self.ready[4:]!r} is no regular expression: {err}") from None
        return self


class Fingerprint(Part):
    """What shows that a mode is really on, looked at after each first start and before anything is judged.

    ``directive`` is a regular expression that a line of the rendered configuration must match; ``cookie`` one of the
    name of a cookie that the answer to a request without any must set; ``state`` are steps that ask the balancer.
    """

    directive: str = ""
    cookie: str = ""
    state: Steps = ()

    @model_validator(mode="after")
    def _something(self) -> Fingerprint:
        if not (self.directive or self.cookie or self.state):
            raise ValueError("an empty fingerprint shows nothing: give directive, cookie or state")
        for pattern in (self.directive, self.cookie):
            try:
                re.compile(pattern)
            except re.error as err:
                raise ValueError(f"{pattern!r} is no regular expression: {err}") from None
        if any(not (step.until or step.log) for step in self.state):
            raise ValueError("a step of state needs `until`: what the answer looks like when the mode is on")
        return self


class Endpoint(Part):
    """Where clients send their requests. With [launch] limpet chooses the address; without, it is given here."""

    url: str = ""
    host: str = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = False
    ca: str = Field(default="", description="PEM file: its CA or its own certificate; default: what is trusted here")
    verify: bool = Field(default=True, description="false: take any certificate")
    proxy_protocol: Literal["", "v1", "v2"] = Field(default="", description="each connection begins with such a header")
    wait: Seconds = Field(default=0.0, description="seconds that a balancer which runs already may take to come up")
    allow_remote: bool = False
    max_connections: int | None = Field(
        default=None, gt=0, description="connections of clients that it takes at the same time; 400 where nobody says"
    )
    max_rate: float | None = Field(default=None, gt=0, description="requests a second; 50 beyond loopback")

    @model_validator(mode="after")
    def _one_address(self) -> Endpoint:
        if self.url and (self.host or self.port):
            raise ValueError("give either url, or host and port")
        if bool(self.host) != bool(self.port):
            raise ValueError("host and port go together")
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https", "tcp", "udp") or not parts.hostname:
                raise ValueError(
                    f"{self.url!r} is no address; write http://HOST:PORT, https://HOST:PORT, tcp://HOST:PORT or "
                    "udp://HOST:PORT"
                )
            if parts.path not in ("", "/") or parts.query:
                raise ValueError(f"{self.url!r} has a path; the path of requests belongs to [request]")
        if self.scheme != "https" and (self.ca or not self.verify):
            raise ValueError("ca and verify are about TLS: give an https:// url, or tls = true")
        if self.ca and not self.verify:
            raise ValueError("verify = false makes ca useless: give one of the two")
        return self

    @property
    def given(self) -> bool:
        """Whether it names an address."""
        return bool(self.url or self.host)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; ("", 0) where none is given."""
        if self.url:
            parts = urlsplit(self.url)
            return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        return self.host, self.port or 0

    @property
    def scheme(self) -> str:
        """``http``, ``https``, ``tcp`` or ``udp``, as far as the endpoint says."""
        return urlsplit(self.url).scheme if self.url else ("https" if self.tls else "http")

    @property
    def remote(self) -> bool:
        """Whether requests would leave this machine."""
        return self.given and not is_loopback(self.address[0])

    @property
    def rate(self) -> float | None:
        """Requests a second that it may get at most; None: as many as limpet can."""
        return self.max_rate if self.max_rate is not None else (50.0 if self.remote else None)


class BackendMember(Part):
    """One backend: ``listen`` where limpet starts it itself, ``host`` and ``port`` where it is yours.

    ``container``: it is yours and a container, which limpet finds, takes down and brings back by itself.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    listen: str = ""
    container: str = Field(default="", description="name or id of a container of yours; its address may be left out")
    host: str = ""
    port: int = Field(default=0, ge=0, le=65535)
    weight: int = Field(default=1, ge=0)
    kill: Steps = ()
    hang: Steps = ()
    revive: Steps = ()

    @model_validator(mode="before")
    @classmethod
    def _named_like_its_container(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("container") and not given.get("name"):
            return {**given, "name": given["container"]}
        return given


class Identity(Part):
    """Where a response of your own backends tells which one answered: exactly one of the three."""

    header: str = ""
    json_key: str = Field(default="", alias="json")
    regex: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> Identity:
        if sum(map(bool, (self.header, self.json_key, self.regex))) != 1:
            raise ValueError(
                'say where the backend\'s name is seen: one of header = "X", json = "key.path", regex = "…(…)…"'
            )
        if self.regex:
            try:
                groups = re.compile(self.regex).groups
            except re.error as err:
                raise ValueError(f"regex {self.regex!r}: {err}") from None
            if groups != 1:
                raise ValueError(f"regex {self.regex!r} needs exactly one group, which is the name; it has {groups}")
        return self


class Backends(Part):
    """Who runs the backends: ``limpet`` (``count`` of them, or at each member's ``listen``) or ``yours``.

    ``health_checked``: the balancer asks for their health path by itself and goes by its status. ``sessions``: where
    limpet's keep theirs, each in its ``memory``, or shared in ``redis`` (limpet starts one) or at the URL of one; of
    yours the URL says that each is a `limpet backend` that was told to keep them there. ``servers``: how many servers
    each of limpet's is, for balancers that pin to groups.
    """

    owner: Literal["limpet", "yours"] = "limpet"
    count: int = Field(default=3, ge=1, le=64)
    servers: int = Field(default=1, ge=1, le=8)
    weights: tuple[int, ...] = ()
    protocol: Literal["http", "tcp", "tls", "udp"] = "http"
    member: tuple[BackendMember, ...] = ()
    identity: Identity | None = None
    health_checked: bool = False
    sessions: str = "memory"
    kill: Steps = ()
    hang: Steps = ()
    revive: Steps = ()

    @field_validator("sessions")
    @classmethod
    def _store(cls, given: str) -> str:
        if given not in ("memory", "redis") and (reason := wrong_url(given)):
            raise ValueError(f"{reason}, or one of memory, redis")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Backends:
        if self.owner == "yours":
            self._check_yours()
        else:
            for number, member in enumerate(self.member):
                if member.container:
                    raise ValueError(f'member[{number}]: container is for owner = "yours"')
                split_address(member.listen, f"member[{number}].listen")
            if self.identity or self.kill or self.hang or self.revive:
                raise ValueError('identity, kill, hang and revive are for owner = "yours"; limpet does that to its own')
        if self.servers > 1 and (self.owner == "yours" or self.member):
            raise ValueError("servers is for limpet's own backends at addresses of its own choice")
        if self.sessions != "memory" and self.protocol != "http":
            raise ValueError("sessions is for limpet's own HTTP backends: only they keep any")
        used = [member.name for member in self.member if member.name]
        twice = sorted({name for name in used if used.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} is used twice")
        if self.weights and len(self.weights) != self.size:
            raise ValueError(f"{len(self.weights)} weights for {self.size} backends")
        return self

    def _check_yours(self) -> None:
        if not self.member:
            raise ValueError("backends that are yours need a [[backends.member]] each, with name and host")
        empty = [
            str(number)
            for number, member in enumerate(self.member, 1)
            if not (member.name and (member.host or member.container))
        ]
        if empty:
            raise ValueError(
                f"a backend of yours needs a name and a host: fill in [[backends.member]] {', '.join(empty)}"
            )
        for number, member in enumerate(self.member):
            if member.listen:
                raise ValueError(f'member[{number}]: listen is for owner = "limpet"; give host and port')
        if self.sessions == "redis":
            raise ValueError("backends that are yours keep sessions where you told them to: give that store's URL")

    @property
    def size(self) -> int:
        """How many backends there are."""
        return len(self.member) or self.count


class Request(Part):
    """What one's own backends need of a request."""

    path: str = Field(default="/", pattern=r"^/")
    method: str = Field(default="GET", pattern=r"^[A-Z]+$")
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""


class Target(BaseModel):
    """One ``target.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    profile: str = Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$", description="product/profile of the catalogue")
    product: str = ""
    title: str = ""
    shown: bool = Field(default=True, description="bundled targets: judged when nobody names any")
    contract: Table = Field(default_factory=dict)
    launch: Launch | None = None
    endpoint: Endpoint = Endpoint()
    fingerprint: Fingerprint | None = None
    backends: Backends = Backends()
    control: Control = Control()
    request: Request = Request()
    timing: Timing = Timing()
    gate: Gate = Gate()
    budget: Budget = Budget()
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _reachable(self) -> Target:
        if self.launch is None and not self.endpoint.given:
            raise ValueError(
                "no [launch] and no address in [endpoint]: say how to start the balancer, or where it runs"
            )
        if self.launch is not None and self.endpoint.given:
            raise ValueError("[launch] and an address in [endpoint]: limpet chooses the address of what it starts")
        if self.launch is not None and self.endpoint.wait:
            raise ValueError("endpoint.wait is for a balancer that runs already; with [launch] give ready_timeout")
        if self.launch is None and self.backends.owner == "limpet" and not self.backends.member:
            raise ValueError(
                "the balancer runs already: say where it expects its backends, one [[backends.member]] each with "
                'listen = "HOST:PORT", or owner = "yours"'
            )
        if self.launch is None and self.control.restart == "relaunch":
            raise ValueError('control.restart = "relaunch" needs a [launch]; give the steps that restart it')
        wanted = self.fingerprint
        if wanted is not None and wanted.directive and (self.launch is None or not self.launch.config):
            raise ValueError("fingerprint.directive is about what [launch] config renders, and nothing is rendered")
        if wanted is not None and wanted.cookie and (self.backends.protocol != "http" or self.endpoint.proxy_protocol):
            raise ValueError("fingerprint.cookie needs a plain HTTP request, which this endpoint does not take")
        store = "" if self.backends.sessions in ("memory", "redis") else host_of(self.backends.sessions)
        if store and not is_loopback(store) and not self.endpoint.allow_remote:
            raise ValueError(
                f"backends.sessions: {store} is not this machine; if you may use it, say allow_remote = true"
            )
        return self

    @property
    def single(self) -> bool:
        """Whether there can be one deployment of it at a time: the balancer, or a backend, is there only once."""
        return self.launch is None or bool(self.backends.member)

    @property
    def of_yours(self) -> bool:
        """Whether faults concern what limpet did not start: the balancer, or the backends behind one that it did."""
        return self.launch is None or self.backends.owner == "yours"
