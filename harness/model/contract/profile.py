"""The contract of one profile: what a balancer in one documented stickiness mode promises.

Every field but ``title``, ``layer`` and ``affinity`` may be absent; absent means *not promised*. Durations are seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limpet.harness.model.contract.durations import Seconds, spoken
from limpet.harness.model.contract.stated import Stated

Affinity = Literal["lb-cookie", "app-cookie", "source-ip", "header", "url", "none"]
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

    @model_validator(mode="after")
    def _one_name(self) -> Cookie:
        if self.name and self.pattern:
            raise ValueError("give the cookie a name or a pattern, not both")
        return self


class Application(_Part):
    """The application's own cookie that the balancer goes by."""

    name: str | None = None
    untouched: Stated[bool] | None = None
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
    removed: Stated[Literal["repin", "reroute", "refuse", "keep"]] | None = None
    draining: Stated[Literal["repin", "keep"]] | None = None
    recovered: Stated[Literal["stay", "return"]] | None = None
    added: Stated[Literal["keep", "remap"]] | None = None
    ip_change: Stated[Literal["keep", "invalidate"]] | None = None
    bad_cookie: Stated[Literal["replace", "ignore", "refuse", "accept"]] | None = None
    duplicates: Stated[Literal["first", "last", "any"]] | None = None
    all_down: Stated[Literal["5xx", "fail-open"]] | None = None
    reload: Stated[Literal["keep", "lose"]] | None = None
    restart: Stated[Literal["keep", "lose"]] | None = None
    toggled: Stated[Literal["keep", "lose"]] | None = None
    toggle_interruption: Stated[Seconds] | None = None


class Contract(_Part):
    """The promise of one profile, or of one deployment of it."""

    title: str
    layer: Literal[4, 7]
    affinity: Affinity
    protocol: Literal["http", "tcp", "udp"] = "http"
    algorithm: Stated[Algorithm] | None = None
    key_prefix: KeyPrefix = KeyPrefix()
    cookie: Cookie | None = None
    application: Application | None = None
    duration: Duration = Duration()
    reaction: Reaction = Reaction()
    note: str = ""

    @model_validator(mode="after")
    def _fits_affinity(self) -> Contract:
        if self.affinity == "lb-cookie" and self.cookie is None:
            raise ValueError('affinity "lb-cookie" needs a [cookie] table')
        if self.affinity == "app-cookie" and self.application is None:
            raise ValueError('affinity "app-cookie" needs an [application] table')
        if self.layer == 4 and self.affinity not in ("source-ip", "none"):
            raise ValueError(f'affinity "{self.affinity}" is not possible on layer 4')
        return self

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
