"""The contract of one profile: what a balancer in one documented stickiness mode promises.

Every field but ``title``, ``layer`` and ``affinity`` may be absent; absent means *not promised*. Durations are seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limpet.harness.model.contract.client_address import ClientAddress
from limpet.harness.model.contract.companion import Companion, Shards
from limpet.harness.model.contract.durations import Seconds, spoken
from limpet.harness.model.contract.groups import Group, Scope
from limpet.harness.model.contract.keys import HeaderKey, UrlKey
from limpet.harness.model.contract.marks import Mark
from limpet.harness.model.contract.source_hash import SourceHash
from limpet.harness.model.contract.stated import Stated
from limpet.harness.model.contract.table import Table

Affinity = Literal["lb-cookie", "app-cookie", "source-ip", "flow", "header", "url", "tls-session-id", "none"]
Algorithm = Literal[
    "round-robin", "least-connections", "weighted-round-robin", "weighted-least-connections", "random", "hash"
]
Clock = Literal["idle", "absolute", "session", "none"]
KeptBy = Literal["balancer", "client", "both"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyPrefix(_Part):
    """How many leading bits of the source address are the affinity key."""

    v4: int = Field(default=32, ge=1, le=32)
    v6: int = Field(default=128, ge=1, le=128)


class Attributes(_Part):
    """What Set-Cookie carries. ``"absent"`` promises that an attribute is not there; no field promises nothing.

    ``expires`` and ``max_age`` are seconds from the response's Date, or ``"duration"``: the configured duration.
    """

    path: Stated[str] | None = None
    domain: Stated[str] | None = None
    expires: Stated[Seconds | Literal["absent", "duration"]] | None = None
    max_age: Stated[Seconds | Literal["absent", "duration"]] | None = None
    secure: Stated[bool] | None = None
    http_only: Stated[bool] | None = None
    same_site: Stated[Literal["absent", "Strict", "Lax", "None"]] | None = None
    partitioned: Stated[bool] | None = None


class Twin(_Part):
    """A second cookie that carries the same value under another name and attributes."""

    name: str = Field(min_length=1)
    attributes: Attributes = Attributes()
    alone_keeps: Stated[bool] | None = None


class Cookie(_Part):
    """The cookie that the balancer itself sets."""

    name: str | None = None
    pattern: str | None = None
    twins: tuple[Twin, ...] = ()
    issued: Stated[Literal["first-response", "every-response", "on-change"]] | None = None
    value: Stated[Literal["opaque", "server-id", "encodes-address", "keyed-hash"]] | None = None
    unlinkable: Stated[bool] | None = None
    attributes: Attributes = Attributes()
    stripped: Stated[bool] | None = None
    shards: Shards | None = None
    companion: Companion | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Cookie:
        if self.name and self.pattern:
            raise ValueError("give the cookie a name or a pattern, not both")
        if self.shards and not self.pattern:
            raise ValueError("shards need a pattern that matches the names of all of them")
        return self


class Application(_Part):
    """The application's own cookie that the balancer goes by."""

    name: str | None = None
    untouched: Stated[bool] | None = None
    mark: Mark | None = None
    reserved: tuple[str, ...] = ()


class Duration(_Part):
    """How long a binding holds. ``value`` is what the deployment chose; ``default``, ``min`` and ``max`` bound it."""

    value: Seconds | None = None
    default: Stated[Seconds] | None = None
    min: Stated[Seconds] | None = None
    max: Stated[Seconds] | None = None
    clock: Stated[Clock] | None = None
    kept_by: Stated[KeptBy] | None = None
    after: Stated[Literal["rebalance", "may-return"]] | None = None
    follows_application: Stated[bool] | None = None

    @model_validator(mode="after")
    def _within_bounds(self) -> Duration:
        if self.value is None:
            return self
        # Where sources disagree about a bound, the widest reading decides: nobody is refused on a conflict.
        if self.min is not None and self.value < min(self.min.allowed):
            raise ValueError(f"duration {spoken(self.value)} is below the minimum of {spoken(min(self.min.allowed))}")
        if self.max is not None and self.value > max(self.max.allowed):
            raise ValueError(f"duration {spoken(self.value)} is above the maximum of {spoken(max(self.max.allowed))}")
        return self


class Reaction(_Part):
    """What the balancer does when something changes."""

    unhealthy: Stated[Literal["repin", "reroute", "refuse", "stay"]] | None = None
    in_request: Stated[Literal["retry", "may-fail"]] | None = None
    silent: Stated[Literal["retry", "504"]] | None = None
    removed: Stated[Literal["repin", "reroute", "refuse", "keep"]] | None = None
    draining: Stated[Literal["repin", "keep"]] | None = None
    drain_window: Stated[Seconds] | None = None
    drain_end: Stated[Literal["cut", "finish"]] | None = None
    recovered: Stated[Literal["stay", "return"]] | None = None
    added: Stated[Literal["keep", "remap"]] | None = None
    ip_change: Stated[Literal["keep", "invalidate"]] | None = None
    bad_cookie: Stated[Literal["replace", "ignore", "refuse", "accept"]] | None = None
    altered: Stated[Literal["rebalance", "accept"]] | None = None
    url_encoded: Stated[Literal["rebalance", "accept"]] | None = None
    duplicates: Stated[Literal["first", "last", "any"]] | None = None
    all_down: Stated[Literal["5xx", "fail-open"]] | None = None
    reload: Stated[Literal["keep", "lose"]] | None = None
    restart: Stated[Literal["keep", "lose"]] | None = None
    second_node: Stated[Literal["keep", "lose"]] | None = None
    toggled: Stated[Literal["keep", "lose"]] | None = None
    toggle_interruption: Stated[Seconds] | None = None


class Forbidden(_Part):
    """A change of this profile's settings that the product refuses; what is not given stays as it is."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    affinity: Affinity | None = None
    protocol: Literal["http", "tcp", "udp"] | None = None
    algorithm: Algorithm | None = None
    application: str | None = None
    text: str = Field(min_length=10)
    sources: tuple[str, ...] = Field(min_length=1)


class Contract(_Part):
    """The promise of one profile, or of one deployment of it.

    ``flow``: what the key is where that is a flow: its client's address and port (the rest of the 5-tuple is the
    balancer's own), or each connection for itself. ``udp_idle``: after so many idle seconds a UDP flow is over.
    """

    title: str
    layer: Literal[4, 7]
    affinity: Affinity
    protocol: Literal["http", "tcp", "udp"] = "http"
    algorithm: Stated[Algorithm] | None = None
    key_prefix: KeyPrefix = KeyPrefix()
    cookie: Cookie | None = None
    application: Application | None = None
    header: HeaderKey | None = None
    url: UrlKey | None = None
    hash: SourceHash | None = None
    flow: Stated[Literal["5-tuple", "connection"]] | None = None
    udp_idle: Stated[Seconds] | None = None
    client_address: ClientAddress | None = None
    http2: tuple[Literal["alpn", "prior-knowledge"], ...] = ()
    table: Table | None = None
    group: Group | None = None
    scope: Scope | None = None
    topology: Stated[Literal["hidden", "shown"]] | None = None
    duration: Duration = Duration()
    reaction: Reaction = Reaction()
    forbidden: tuple[Forbidden, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _fits_affinity(self) -> Contract:
        if self.affinity == "lb-cookie" and self.cookie is None:
            raise ValueError('affinity "lb-cookie" needs a [cookie] table')
        if self.affinity == "app-cookie" and self.application is None:
            raise ValueError('affinity "app-cookie" needs an [application] table')
        if self.affinity == "header" and self.header is None:
            raise ValueError('affinity "header" needs a [header] table')
        if self.affinity == "url" and self.url is None:
            raise ValueError('affinity "url" needs a [url] table')
        if self.hash is not None and not self._may_hash():
            raise ValueError(
                'a [hash] table needs affinity "source-ip" or "flow", or "header" or "url" with keys that clients '
                "make up: a hash remembers nothing, and so cannot lead a minted id home"
            )
        if (self.affinity == "flow") != (self.flow is not None):
            raise ValueError(
                'affinity "flow" needs flow = "5-tuple" or "connection", and nothing else has such a field'
            )
        if self.udp_idle is not None and (self.protocol != "udp" or self.affinity == "flow"):
            raise ValueError(
                'udp_idle is how long a UDP flow lasts beside its pin; with affinity "flow" say [duration]'
            )
        if self.affinity == "flow" and self.layer != 4:
            raise ValueError('affinity "flow" is not possible on layer 7')
        if self.affinity == "url" and _by_cookie(self.url) and not (self.application and self.application.name):
            raise ValueError("[url] minted or cookie needs application.name: the cookie that holds the same id")
        if self.affinity == "tls-session-id" and (self.layer != 4 or self.protocol != "tcp"):
            raise ValueError('affinity "tls-session-id" needs layer 4 and protocol "tcp": the backends speak TLS')
        if self.layer == 4 and self.affinity not in ("source-ip", "flow", "tls-session-id", "none"):
            raise ValueError(f'affinity "{self.affinity}" is not possible on layer 4')
        return self

    def _may_hash(self) -> bool:
        if self.affinity in ("source-ip", "flow"):
            return True
        key = self.header if self.affinity == "header" else self.url if self.affinity == "url" else None
        return key is not None and (key.minted is None or True not in key.minted.allowed)

    def stated(self, path: str) -> Stated[object] | None:
        """The field at a dotted path such as ``reaction.unhealthy``; None where nothing is stated.

        Raises:
            AttributeError: the contract has no such field.
        """
        here: object = self
        for name in path.split("."):
            here = getattr(here, name)
            if here is None:
                return None
        if isinstance(here, Stated):
            return here
        return Stated[object](allowed=(here,))


def _by_cookie(url: UrlKey | None) -> bool:
    """Whether the application's cookie takes part."""
    if url is None:
        return False
    minted = url.minted is not None and True in url.minted.allowed
    return minted or (url.cookie is not None and set(url.cookie.allowed) != {"unread"})
