"""What a target can be told to do: verbs, each a list of steps."""

from __future__ import annotations

import re
import signal as signals
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from limpet.harness.model.contract.durations import Seconds

Cover = Literal["add", "remove", "replace", "reorder", "drain", "weight", "affinity"]
"""What an ``apply`` can realise: changes of the pool, and stickiness on or off."""

_KINDS = ("render", "signal", "exec", "http", "socket", "log")
_BELONGS = {
    "to": ("render",),
    "body": ("http",),
    "body_template": ("http",),
    "headers": ("http",),
    "expect": ("http",),
    "send": ("socket",),
    "until": ("http", "exec", "socket"),
    "times": ("http", "exec", "socket", "log"),
}


class Part(BaseModel):
    """A table of a target: frozen, and nothing in it that is not understood."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Step(Part):
    """One step: exactly one of ``render``, ``signal``, ``exec``, ``http``, ``socket``, ``log``.

    ``http`` is ``"METHOD URL"``. A step with ``until`` is repeated until what it answers matches that regular
    expression ``times`` times in a row, each over a connection of its own. ``log`` waits until the balancer's output
    since the verb began matches ``times`` times. ``timeout`` (seconds) bounds the step.
    """

    render: str = ""
    to: str = ""
    signal: str = ""
    exec: tuple[str, ...] = ()
    http: str = ""
    body: str = ""
    body_template: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    expect: Annotated[
        tuple[int, ...], BeforeValidator(lambda one: one if isinstance(one, list | tuple) else (one,))
    ] = (
        200,
        201,
        202,
        204,
    )
    socket: str = ""
    send: str = ""
    log: str = ""
    until: str = ""
    times: int = Field(default=1, ge=1)
    timeout: Seconds = 10.0

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        kinds = [kind for kind in _KINDS if getattr(self, kind)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise ValueError(f"a step is exactly one of {', '.join(_KINDS)}; found {found}")
        for key, allowed in _BELONGS.items():
            if key in self.model_fields_set and kinds[0] not in allowed:
                raise ValueError(f"{key} does not go with {kinds[0]}; it goes with {' or '.join(allowed)}")
        if self.signal and f"SIG{self.signal.removeprefix('SIG')}" not in signals.Signals.__members__:
            raise ValueError(f'no signal "{self.signal}"; write HUP, USR1, TERM …')
        if self.http and len(self.http.split(" ")) != 2:
            raise ValueError(f'http = "{self.http}": write "METHOD URL", such as "PUT {{admin.url}}/members"')
        if self.body and self.body_template:
            raise ValueError("give either body or body_template")
        for pattern in (self.until, self.log):
            try:
                re.compile(re.sub(r"\{[A-Za-z_][\w.]*\}", "x", pattern))
            except re.error as err:
                raise ValueError(f"{pattern!r} is no regular expression: {err}") from None
        return self

    @property
    def kind(self) -> str:
        """Which of the six it is."""
        return next(kind for kind in _KINDS if getattr(self, kind))

    def __str__(self) -> str:
        """For messages: ``http PUT {admin.url}/members``."""
        shown = getattr(self, self.kind)
        return f"{self.kind} {' '.join(shown) if isinstance(shown, tuple) else shown}"


def _one_or_many(given: object) -> object:
    return (given,) if isinstance(given, dict | Step) else given


Steps = Annotated[tuple[Step, ...], BeforeValidator(_one_or_many)]
"""Steps of one verb; a single one may be written without the list."""


class Control(Part):
    """The verbs. A verb that is absent makes what needs it *not checkable*, with that reason.

    ``change`` puts a change into force that has nothing to do with stickiness or backends, such as another timeout.
    ``settled`` follows apply, reload, change, restart and affinity changes and reads back that they took effect.
    ``noticed_down`` and ``noticed_up`` read back whether the balancer knows that ``{backend.name}`` is down or up,
    ``nodes_agree`` whether what one node knows has reached the others.
    """

    apply: Steps = ()
    covers: tuple[Cover, ...] = ()
    reload: Steps = ()
    change: Steps = ()
    restart: Literal["relaunch"] | Steps = ()
    affinity_on: Steps = ()
    affinity_off: Steps = ()
    advance_clock: Steps = ()
    rotate_keys: Steps = ()
    settled: Steps = ()
    noticed_down: Step | None = None
    noticed_up: Step | None = None
    nodes_agree: Step | None = None

    @model_validator(mode="before")
    @classmethod
    def _restart_word(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(word := given.get("restart"), str) and word != "relaunch":
            raise ValueError(f'restart = "{word}" is not a valid word; write "relaunch" or a list of steps')
        return given

    @model_validator(mode="after")
    def _complete(self) -> Control:
        if bool(self.apply) != bool(self.covers):
            raise ValueError("apply and covers go together: the steps, and which changes they bring about")
        if bool(self.affinity_on) != bool(self.affinity_off):
            raise ValueError("affinity_on and affinity_off go together")
        for step in (self.noticed_down, self.noticed_up, self.nodes_agree):
            if step is not None and not step.until:
                raise ValueError("noticed_down, noticed_up, nodes_agree need `until`: what the answer looks like then")
        return self
