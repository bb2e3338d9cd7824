"""What a behaviour's test gets: clients, the system they talk to, a clock to wait on, and ways to say what it saw."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from limpet.harness.clients import Exchange, SourcePool
from limpet.harness.engine.client import Client
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.ending import Ending, ending_of
from limpet.harness.engine.mending import NOTICED
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.places import Places
from limpet.harness.engine.recipe import recipe
from limpet.harness.engine.recorder import HistoryRecorder
from limpet.harness.engine.timeline import Timeline
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Arrived, Control, Note
from limpet.harness.model.oracle import Oracle, Verdicts
from limpet.harness.model.oracle.evidence import curl, remarks
from limpet.harness.model.verdict import Step
from limpet.harness.model.violation import Kind, Violation
from limpet.harness.network.frames import End
from limpet.harness.targets.abilities import why_not

_OF_A_PIN = {Kind.MOVED, Kind.COOKIE_IGNORED, Kind.KEY_IGNORED}
"""What is wrong only while a pin lives."""


class Scenario(Places):
    """One run of one behaviour on one deployment.

    Args:
        system: the deployment; `system.kill("b1")` and so on are its verbs.
        recorder: this scenario's history.
        timeline: where waits overlap.
        seed: of this scenario; everything random comes from `rng` and `sources`.
        cast: whose personas play; the same in all scenarios of a run.
        variant: which variant of the behaviour runs, "" where there is one only.
        exclusive: whether the deployment is this scenario's own.
        cited: whether a sentence of the documentation names this row, or only the contract's fields speak for it.
    """

    def __init__(
        self,
        system: Deployment,
        recorder: HistoryRecorder,
        timeline: Timeline,
        *,
        seed: str,
        cast: str = "",
        variant: str = "",
        exclusive: bool = True,
        cited: bool = True,
    ) -> None:
        self.system = system
        self.cited = cited
        self.variant = variant
        self.rng = random.Random(seed)
        self.steps: list[Step] = []
        self.violations: list[Violation] = []
        self.observations: list[str] = []
        self.certainties: list[str] = []
        self.decided = 0
        self.visible: float | None = None
        self.controls: list[Control] = []
        self.endings: list[Ending] = []
        self.forged: set[End] = set()
        self.waited = 0.0
        self.progress: Callable[[str], None] = _nobody
        self.members = system.names
        self._recorder = recorder
        self._timeline = timeline
        self._seed = seed
        self._cast = cast or seed
        self._copies = 0
        self.sources = SourcePool(
            seed,
            prefix_v4=system.contract.key_prefix.v4,
            beside=system.sources,
            ranges=system.site.clients,
        )
        self._exclusive = exclusive
        self.begin = time.monotonic()
        self.elsewhere = 0
        self._people = 0
        self._clients: list[Client] = []
        if exclusive:
            system.listen(self._control)

    # The ground.

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._recorder.requests

    @property
    def duration(self) -> float:
        """The duration in force, in seconds.

        Raises:
            NotCheckable: none is chosen and none documented.
        """
        duration = self.contract.duration
        if duration.value is not None:
            return duration.value
        if duration.default is not None and duration.default.sole is not None:
            return duration.default.sole
        raise NotCheckable("the target chooses no duration, and no default is documented")

    @property
    def lasts(self) -> float:
        """Seconds for which a pin is certainly alive; infinite where time does not end it, or nobody says when."""
        clock, duration = self.contract.duration.clock, self.contract.duration
        if clock is not None and set(clock.allowed) <= {"session", "none"}:
            return math.inf
        known = duration.default.allowed if duration.default else ()
        return min(known if duration.value is None else (duration.value,), default=math.inf) - self.resolution

    @property
    def resolution(self) -> float:
        """How coarse the balancer's clock may lawfully be, in seconds."""
        return self.system.loaded.target.timing.clock_resolution.value

    @property
    def recorder(self) -> HistoryRecorder:
        """Where its history goes, for clients that are not this scenario's users."""
        return self._recorder

    @property
    def plan_seed(self) -> str:
        """What a plan of faults is drawn with, so that it can be foretold; see `Behaviour.foretells`."""
        return plan_seed(self._seed)

    def need(self, verb: str) -> None:
        """Ends this variant where the target does not offer a verb that only it needs.

        Raises:
            NotCheckable: with the reason.
        """
        reason = why_not(self.system.loaded.target, verb)
        if reason:
            raise NotCheckable(reason)

    def need_members(self, count: int) -> None:
        """Ends the scenario where there are fewer backends than it takes to see the difference.

        Raises:
            NotCheckable: there are fewer.
        """
        if self.n < count:
            raise NotCheckable(f"needs {count} backends to be seen; this deployment has {self.n}")

    # Time.

    def wait(self, seconds: float) -> None:
        """Lets so many seconds of affinity time pass: at once where the target's clock can be moved."""
        if seconds <= 0:
            return
        if self.system.target.can("advance_clock"):
            self._need_own("move the clock")
            if self._recorder.in_flight:
                raise HarnessFault("the clock moves only while no request is in flight")
            self.system.advance(seconds)
        else:
            self.real_wait(seconds)

    def real_wait(self, seconds: float) -> None:
        """Lets so many real seconds pass; others use the time."""
        begin = time.monotonic()
        self._timeline.wait(seconds)
        self.waited += time.monotonic() - begin

    def cancelled(self) -> bool:
        """Whether the run is over before its time."""
        return self._timeline.cancelled

    def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether the condition became true within so many real seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._timeline.wait(0.005)
        return True

    # What was seen.

    def step(self, text: str) -> None:
        """Notes a step for the report."""
        now = time.monotonic()
        self.steps.append(Step(now - self.begin, text))
        self._recorder.add(Note(now, text, self.system.offset))
        self._timeline.check()

    def observe(self, text: str) -> None:
        """Notes something that the documentation does not promise, for the report."""
        self.observations.append(text)

    def certain(self, text: str) -> None:
        """States error rate or smallest visible fault of a check."""
        if text not in self.certainties:
            self.certainties.append(text)

    def decide_together(self, samples: int, visible: float | None) -> None:
        """Decides samples of which no single one could have shown a violation, only all of them together.

        Args:
            samples: how many.
            visible: the smallest share of faulty ones that would have shown with 95 %; None where it is not known.
        """
        self.decided += samples
        if visible is not None:
            # Several such tests are as sharp as the bluntest of them.
            self.visible = max(visible, self.visible or 0.0)

    def broken(self, kind: Kind, text: str, exchange: Exchange | None = None, **evidence: str) -> None:
        """Notes a violation; ``exchange`` is the request that shows it, where one alone does."""
        self.decided += 1
        self.violations.append(
            Violation(
                kind=kind,
                text=text,
                client=exchange.sent.client if exchange else "",
                request=exchange.id if exchange else "",
                t=exchange.sent.t if exchange else time.monotonic(),
                expected=(evidence["expected"],) if "expected" in evidence else (),
                seen=evidence.get("seen", ""),
                trail=_headers_of(exchange, self._key_header) if exchange else (),
                curl=self._request_again(exchange) if exchange else self._recipe(),
            )
        )

    def expect(self, right: bool, kind: Kind, text: str, exchange: Exchange | None = None) -> bool:
        """Decides one sample: a violation unless ``right``. Returns ``right``.

        Of whom a pin no longer holds nothing is said once the scenario has taken so long, beside what it waited on
        purpose, that its first pins may lawfully be over: on a slow machine that is nobody's fault.
        """
        if right:
            self.decided += 1
        elif kind not in _OF_A_PIN or time.monotonic() - self.begin - self.waited < self.lasts:
            self.broken(kind, text, exchange)
        return right

    def arrived(self) -> list[Arrived]:
        """What limpet's backends received of this scenario's requests."""
        return self.system.arrived_of(self._recorder.prefix)

    def conclude(self) -> Verdicts:
        """Judges what there is so far, counts it, and forgets all of it but what was done to the system.

        For scenarios that are too long to be kept. No request may be in flight, and none of the users so far may send
        another one: whoever comes later begins without a past.
        """
        verdicts = self.judge()
        self.violations += verdicts.violations
        self.decided += verdicts.decided
        self._recorder.forget()
        return verdicts

    def measure(self, what: str, value: float, unit: str) -> None:
        """Notes a number that is of interest over time."""
        now = time.monotonic()
        self._recorder.add(Note(now, f"{what}: {value:g} {unit}", self.system.offset, f"{what}, {unit}", value))

    def note_end(self, system: Deployment, what: str, *, alone: bool = True) -> None:
        """Notes that the process of this balancer has ended, where it has and limpet did not stop it."""
        ending = ending_of(system.target, self._recorder.records, alone=alone, what=what)
        if ending is not None:
            self.endings.append(ending)
            if ending.own:
                self.broken(Kind.ERROR, ending.fault.what + _last(system))

    def judge(self) -> Verdicts:
        """What the oracle says to this scenario's history so far."""
        oracle = Oracle(
            self.contract,
            self.members,
            resolution=self.resolution,
            notices_health=self.system.notices_health,
            url=self.system.target.url,
            ca=self.system.target.trusted,
            retried=self.system.loaded.target.timing.retried.value,
        )
        return oracle.judge([*self._recorder.records, *self.arrived()])

    def close(self) -> None:
        """Closes all connections and takes apart where they came from."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._leave()

    def _recipe(self) -> tuple[str, ...]:
        """How to see what no single request shows."""
        path = self.system.loaded.target.request.path
        here = self.system.target
        return recipe(self._recorder.records, self.steps, here.url, path, here.trusted)

    def _request_again(self, exchange: Exchange) -> tuple[str, ...]:
        url, ca = self.system.target.url, self.system.target.trusted
        return (*remarks(url, ca), curl(exchange.sent, url, self._key_header, ca))

    @property
    def _key_header(self) -> str:
        return self.contract.header.name.lower() if self.contract.header is not None else ""

    def _need_own(self, what: str) -> None:
        if not self._exclusive:
            raise HarnessFault(f"a behaviour that touches nothing may not {what}; declare what it touches")

    def _control(self, control: Control) -> None:
        self._recorder.add(control)
        self.controls.append(control)
        if control.detail == NOTICED:
            return
        number = f" {control.value:g}" if control.value else ""
        detail = f" ({control.detail})" if control.detail else ""
        text = f"{control.verb} {control.backend}{number}{detail}".strip()
        self.steps.append(Step(control.t - self.begin, text))


def plan_seed(seed: str) -> str:
    """Of the plan of a scenario with this seed."""
    return f"{seed}/plan"


def _nobody(_text: str) -> None:
    """Who is told of the progress of a scenario that is not part of a run."""


def _last(system: Deployment) -> str:
    lines = system.target.last_lines()
    return f"; its last lines: {lines}" if lines else ""


def _headers_of(exchange: Exchange, key: str) -> tuple[str, ...]:
    """The request and the answer that show it, as a reader would want to see them."""
    sent, received = exchange.sent, exchange.received
    answer = received.error or f"{received.status} from {received.backend or 'the balancer'}"
    return (
        f"> {sent.method} {sent.path} from {sent.source}{f' (behind NAT: {sent.bound})' if sent.bound else ''}",
        *(f"> {name}: {value}" for name, value in sent.headers if name.lower() in ("cookie", key)),
        f"< {answer}",
        *(f"< {name}: {value}" for name, value in received.headers if name.lower() in ("set-cookie", "date", key)),
    )
