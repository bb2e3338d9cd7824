"""What a behaviour's test gets: clients, the system they talk to, a clock to wait on, and ways to say what it saw."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from limpet.harness.clients import Exchange, RawConnection, persona
from limpet.harness.engine.client import Client, Manners
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.identity import identify_by
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.recorder import HistoryRecorder
from limpet.harness.engine.timeline import Timeline
from limpet.harness.model.contract import Contract
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Arrived, Control, Note
from limpet.harness.model.oracle import Oracle, Verdicts
from limpet.harness.model.oracle.evidence import curl
from limpet.harness.model.oracle.exchanges import ODD
from limpet.harness.model.verdict import Step
from limpet.harness.model.violation import Kind, Violation

_HELD = 5.0
"""Seconds that a stranger's request is held open at the most."""

_DRAWS = 30
"""New sessions tried for each member before a backend counts as unreachable for new sessions."""


class _Closing(Protocol):
    def close(self) -> None: ...


class _Held:
    """A held request that nobody will wait for."""

    def __init__(self, connection: RawConnection, recorder: HistoryRecorder) -> None:
        self._connection = connection
        self._recorder = recorder

    def close(self) -> None:
        self._connection.reset()
        self._recorder.abandon()


class Scenario:
    """One run of one behaviour on one deployment.

    Args:
        system: the deployment; `system.kill("b1")` and so on are its verbs.
        recorder: this scenario's history.
        timeline: where waits overlap.
        seed: of this scenario; everything random comes from `rng`.
        variant: which variant of the behaviour runs, "" where there is one only.
        exclusive: whether the deployment is this scenario's own.
    """

    def __init__(
        self,
        system: Deployment,
        recorder: HistoryRecorder,
        timeline: Timeline,
        *,
        seed: str,
        variant: str = "",
        exclusive: bool = True,
    ) -> None:
        self.system = system
        self.variant = variant
        self.rng = random.Random(seed)
        self.steps: list[Step] = []
        self.violations: list[Violation] = []
        self.observations: list[str] = []
        self.certainties: list[str] = []
        self.decided = 0
        self.waited = 0.0
        self.members = system.names
        self._recorder = recorder
        self._timeline = timeline
        self._seed = seed
        self._exclusive = exclusive
        self._begin = time.monotonic()
        self._people = 0
        self._clients: list[Client] = []
        if exclusive:
            system.listen(self._control)

    # The ground.

    @property
    def contract(self) -> Contract:
        """What the deployment promises."""
        return self.system.contract

    @property
    def names(self) -> tuple[str, ...]:
        """The members now, in order."""
        return self.system.names

    @property
    def n(self) -> int:
        """How many members there are now."""
        return len(self.system.names)

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
    def resolution(self) -> float:
        """How coarse the balancer's clock may lawfully be, in seconds."""
        return self.system.loaded.target.timing.clock_resolution.value

    # People.

    def client(self, *, cookies: bool = True, keep: bool = True, source: str | None = None) -> Client:
        """A new user at a new address.

        Args:
            cookies: whether it keeps cookies.
            keep: whether it keeps its connection.
            source: its address, None for one whose key nobody else has.
        """
        self._people += 1
        who = persona(self._seed, self._people)
        plain = self.system.loaded.target.request
        mints = self.contract.affinity == "app-cookie" and self.system.loaded.target.backends.owner == "limpet"
        local = self.system.local
        client = Client(
            contract=self.contract,
            endpoint=self.system.endpoint,
            recorder=self._recorder,
            name=f"{who.name} ({self._people})",
            source=source or (self.system.sources.draw() if local else None),
            now=lambda: time.time() + self.system.offset,
            headers=who.headers,
            manners=Manners(
                path=plain.path,
                method=plain.method,
                headers=tuple(plain.headers.items()),
                body=plain.body.encode() or None,
                app_mints=mints,
            ),
            identify=identify_by(self.system.loaded.target.backends),
            cookies=cookies,
            keep=keep,
        )
        self._clients.append(client)
        return client

    def pinned(self, name: str | None = None, *, keep: bool = True) -> Client:
        """A user with a pin, to this backend where a name is given.

        Raises:
            Inconclusive: the balancer gave no new session to that backend within the budget.
        """
        for _ in range(_DRAWS * self.n):
            client = self.client(keep=keep)
            self._require_key(client, client.visit())
            if client.backend and name in (None, client.backend):
                return client
            client.close()
        raise Inconclusive(f"no new session reached {name or 'any backend'} in {_DRAWS * self.n} tries")

    def pinned_to_each(self, count: int) -> dict[str, list[Client]]:
        """So many pinned users for every member, in a random order of creation.

        Raises:
            Inconclusive: a backend got too few new sessions within the budget.
        """
        found: dict[str, list[Client]] = {name: [] for name in self.names}
        for _ in range(_DRAWS * count * self.n):
            client = self.client()
            self._require_key(client, client.visit())
            group = found.get(client.backend)
            if group is not None and len(group) < count:
                group.append(client)
                if all(len(each) == count for each in found.values()):
                    return found
            client.close()
        few = {name: len(group) for name, group in found.items()}
        raise Inconclusive(f"too few new sessions reached some backend within the budget: {few}")

    def _require_key(self, client: Client, exchange: Exchange) -> None:
        """A first answer without the cookie by which the balancer goes pins nobody, and that is a broken promise."""
        if self.contract.affinity not in ("lb-cookie", "app-cookie") or not exchange.ok or not exchange.backend:
            return
        if client.issued(exchange) or any(each.kind is Kind.COOKIE_NOT_ISSUED for each in self.violations):
            return
        which = "balancer's" if self.contract.affinity == "lb-cookie" else "application's"
        text = f"{client.name}'s first answer lacks the {which} cookie, so nothing pins this user"
        self.broken(Kind.COOKIE_NOT_ISSUED, text, exchange)

    def scramble(self) -> None:
        """A random number of requests of strangers, so that the next pick is not the balancer's rotation."""
        for _ in range(self.rng.randrange(self.n)):
            self.client(cookies=False, keep=False).visit()

    @contextmanager
    def luck(self) -> Iterator[None]:
        """Makes the next keyless pick limpet's luck, not the balancer's habit.

        0 … n-1 strangers go before, so that a rotation stands anywhere. Where connections count, their requests are
        held open meanwhile, since a balancer may lawfully prefer the first of several idle backends.
        """
        count = self.rng.randrange(self.n)
        if not self._counts_connections():
            for _ in range(count):
                self.client(cookies=False, keep=False).visit()
            yield
            return
        held = [self._hold() for _ in range(count)]
        try:
            yield
        finally:
            for connection in held:
                connection.close()

    def _counts_connections(self) -> bool:
        algorithm = self.contract.algorithm
        return algorithm is None or any("least" in each for each in algorithm.allowed)

    def _hold(self) -> _Closing:
        """A stranger's request that its backend holds; returns when a backend has it."""
        stranger = self.client(cookies=False)
        if stranger.endpoint.scheme == "tcp":
            stranger.visit()  # the open connection is what counts
            return stranger
        connection = stranger.raw()
        head = [b"GET / HTTP/1.1", b"Host: " + stranger.endpoint.authority.encode(), f"Limpet-Hold: {_HELD}".encode()]
        request = connection.send(head, client=stranger.name, note=ODD)
        self.until(lambda: any(each.id == request for each in self.system.arrived()), 2.0)
        return _Held(connection, self._recorder)

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
        self.steps.append(Step(now - self._begin, text))
        self._recorder.add(Note(now, text, self.system.offset))
        self._timeline.check()

    def observe(self, text: str) -> None:
        """Notes something that the documentation does not promise, for the report."""
        self.observations.append(text)

    def certain(self, text: str) -> None:
        """States error rate or smallest visible fault of a check."""
        if text not in self.certainties:
            self.certainties.append(text)

    def broken(self, kind: Kind, text: str, exchange: Exchange | None = None, **evidence: str) -> None:
        """Notes a violation; ``exchange`` is the request that shows it."""
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
                trail=_headers_of(exchange) if exchange else (),
                curl=(curl(exchange.sent, self.system.target.url),) if exchange else (),
            )
        )

    def expect(self, right: bool, kind: Kind, text: str, exchange: Exchange | None = None) -> bool:
        """Decides one sample: a violation unless ``right``. Returns ``right``."""
        if right:
            self.decided += 1
        else:
            self.broken(kind, text, exchange)
        return right

    def arrived(self) -> list[Arrived]:
        """What limpet's backends received of this scenario's requests."""
        return [each for each in self.system.arrived() if self._recorder.owns(each.id)]

    def judge(self) -> Verdicts:
        """What the oracle says to this scenario's history so far."""
        oracle = Oracle(
            self.contract,
            self.members,
            resolution=self.resolution,
            notices_health=self.system.notices_health,
            url=self.system.target.url,
        )
        return oracle.judge([*self._recorder.records, *self.arrived()])

    def close(self) -> None:
        """Closes all connections."""
        for client in self._clients:
            client.close()

    def _need_own(self, what: str) -> None:
        if not self._exclusive:
            raise HarnessFault(f"a behaviour that touches nothing may not {what}; declare what it touches")

    def _control(self, control: Control) -> None:
        self._recorder.add(control)
        number = f" {control.value:g}" if control.value else ""
        self.steps.append(Step(control.t - self._begin, f"{control.verb} {control.backend}{number}".strip()))


def _headers_of(exchange: Exchange) -> tuple[str, ...]:
    """The request and the answer that show it, as a reader would want to see them."""
    sent, received = exchange.sent, exchange.received
    answer = received.error or f"{received.status} from {received.backend or 'the balancer'}"
    return (
        f"> {sent.method} {sent.path} from {sent.source}",
        *(f"> {name}: {value}" for name, value in sent.headers if name.lower() == "cookie"),
        f"< {answer}",
        *(f"< {name}: {value}" for name, value in received.headers if name.lower() in ("set-cookie", "date")),
    )
