"""Judges every request of a history by its contract, in one sweep over time.

A request is first judged by what was known when it was sent. When the balancer can no longer be deciding about it, what
overlapping requests may lawfully have changed meanwhile is added, its verdict falls, and its answer changes what its
keys may be bound to.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import may
from limpet.harness.model.history import Control, Record
from limpet.harness.model.oracle import kinds
from limpet.harness.model.oracle.bindings import Binding
from limpet.harness.model.oracle.crowding import Crowding
from limpet.harness.model.oracle.evidence import Evidence
from limpet.harness.model.oracle.exchanges import ODD, Exchange, exchanges
from limpet.harness.model.oracle.learning import chosen, foreign_key, learn
from limpet.harness.model.oracle.lifetime import Lifetime
from limpet.harness.model.oracle.pool import Pool
from limpet.harness.model.oracle.rules import Allowed, Rules
from limpet.harness.model.violation import Kind, Violation

_CONNECTING = 0.1
"""Seconds in which a connection is opened and a request goes out on it, on a machine that has other things to do."""


@dataclass(frozen=True)
class Judged:
    """One request with the backends that the contract allowed.

    ``decided``: some backend that could have answered would have been wrong, or it failed where that was wrong.
    ``must_answer``: a failure would have been wrong.
    """

    exchange: Exchange
    allowed: frozenset[str]
    decided: bool
    violation: Violation | None = None
    must_answer: bool = False


@dataclass
class Verdicts:
    """All requests of a history, judged, in the order of their sending."""

    judged: list[Judged] = field(default_factory=list)

    @property
    def decided(self) -> int:
        """How many requests could have shown a violation."""
        return sum(each.decided for each in self.judged)

    @property
    def violations(self) -> list[Violation]:
        """What was wrong, oldest first."""
        return [each.violation for each in self.judged if each.violation is not None]


@dataclass
class Oracle:
    """The pure model of one deployment.

    Args:
        contract: what it promises.
        members: the backends at the start of the history.
        resolution: how coarse the balancer's clock may be, in seconds.
        notices_health: whether it looks at its backends' health path.
        url: where clients reach it, for the reproductions by curl.
        ca: what its certificate must lead back to, for the same: a PEM file, "" for what the machine trusts, None
            where any is taken.
        retried: seconds after which a balancer without health checks may try a dead backend again; 0: nobody said.
    """

    contract: Contract
    members: Sequence[str]
    resolution: float = 1.0
    notices_health: bool = True
    url: str = "http://balancer"
    retried: float = 0.0
    ca: str | None = ""

    def judge(self, history: Iterable[Record]) -> Verdicts:
        """What the contract says to every request in this history.

        The history must hold all records of the keys in it; requests of other clients may be absent, since keys are
        judged independently. With the backends' records (`Arrived`) in it, failures are judged more sharply.
        """
        records = list(history)
        controls = sorted((each for each in records if isinstance(each, Control)), key=lambda each: each.t)
        found = exchanges(records, self.contract)
        # Who answers without ever having been named is somebody's own backend: a member from the start.
        named = {*self.members, *(each.backend for each in controls)}
        strangers = {each.backend for each in found} - named - {""}
        pool = Pool([*self.members, *strangers], controls, self.notices_health)
        key = self.contract.header.name if self.contract.header is not None else ""
        crowding = Crowding(found, self.contract.table)
        rules = Rules(self.contract, pool, Lifetime(self.contract, self.resolution), crowding)
        return _Sweep(
            rules, found, Evidence(found, controls, self.url, key, self.ca), self._passive, self.retried
        ).run()

    @property
    def _passive(self) -> bool:
        """Whether only requests find out that a backend is dead, and may fail by it (as may each later retry)."""
        return not self.notices_health and may(self.contract.reaction.in_request, "may-fail")


@dataclass
class _Case:
    """A request on its way to its verdict: its keys, what each of them allowed when it was sent, and what all did."""

    number: int
    exchange: Exchange
    bindings: tuple[Binding, ...]
    own: tuple[Allowed, ...]
    follow_up: bool
    allowed: Allowed
    judged: Judged | None = None


class _Sweep:
    """One pass over one history."""

    def __init__(
        self, rules: Rules, found: Sequence[Exchange], evidence: Evidence, passive: bool, retried: float
    ) -> None:
        self._rules = rules
        self._found = found
        self._evidence = evidence
        self._passive = passive
        self._retried = retried
        self._met: list[float] = []
        self._bindings: dict[str, Binding] = {}
        self._pending: list[tuple[float, int, _Case]] = []
        placed_once = rules.contract.layer == 4 and not _is_datagrams(rules.contract)
        self._connections = _first_on_connection(found) if placed_once else {}

    def run(self) -> Verdicts:
        """Judge all."""
        cases = []
        for number, exchange in enumerate(self._found):
            while self._pending and self._pending[0][0] <= exchange.begin:
                self._close(heapq.heappop(self._pending)[2])
            case = self._open(number, exchange)
            cases.append(case)
            heapq.heappush(self._pending, (exchange.effective_end, number, case))
        while self._pending:
            self._close(heapq.heappop(self._pending)[2])
        return Verdicts([each.judged for each in cases if each.judged])

    def _binding(self, key: str) -> Binding:
        found = self._bindings.get(key)
        if found is None:
            found = self._bindings[key] = Binding(key)
        return found

    def _open(self, number: int, exchange: Exchange) -> _Case:
        bindings = tuple(self._binding(key) for key in exchange.keys)
        own = tuple(self._rules.pinned(exchange, each) for each in bindings)
        allowed = self._rules.allowed(exchange, own)
        first = self._connections.get(exchange.sent.connection, exchange)
        follow_up = first.begin < exchange.begin
        if follow_up:
            allowed |= self._on_its_connection(exchange, first)
        case = _Case(number, exchange, bindings, own, follow_up, allowed)
        if not case.follow_up:
            for binding, one in zip(bindings, own, strict=True):
                binding.under_way(chosen(exchange, one), exchange)
            for key in exchange.issued:
                self._binding(key).under_way(chosen(exchange, allowed), exchange)
        return case

    def _on_its_connection(self, exchange: Exchange, first: Exchange) -> Allowed:
        """Below layer 7 a connection is placed once; what travels on it later goes where the connection goes."""
        meanwhile = self._rules.pool.view(first.begin, exchange.end)
        # No connection outlives the process that holds it, and its client learns of that by sending.
        lost = first.backend not in meanwhile.sure_open or "restart" in meanwhile.verbs
        return Allowed(frozenset({first.backend} if first.backend else meanwhile.known), may_fail=lost)

    def _close(self, case: _Case) -> None:
        exchange = case.exchange
        for binding in case.bindings:
            case.allowed |= self._rules.meanwhile(exchange, binding)
        foreign = foreign_key(exchange, self._rules, self._binding)
        case.judged = self._judge(case, foreign)
        learn(
            exchange, case.bindings, case.own, case.allowed, self._rules, self._binding,
            foreign=foreign, follow_up=case.follow_up,
        )  # fmt: skip

    def _meets_the_dead(self, exchange: Exchange, dead: int) -> bool:
        """Whether this failure may be the balancer's way to learn that a backend is (still) dead."""
        decided = min(exchange.end, exchange.begin + _CONNECTING)
        recent = [t for t in self._met if decided - self._retried < t]
        if self._retried and len(recent) >= dead:
            return False
        self._met.append(exchange.end)
        return True

    # The verdict.

    def _judge(self, case: _Case, foreign: Binding | None) -> Judged | None:
        exchange, allowed = case.exchange, case.allowed
        if exchange.received is None:
            return None
        odd = exchange.sent.note == ODD
        must_answer = not odd and not allowed.may_fail and not _raced(exchange)
        now = self._rules.pool.view(exchange.begin, exchange.end)
        if must_answer and exchange.failed and self._passive and now.maybe_down:
            must_answer = not self._meets_the_dead(exchange, len(now.maybe_down))
        could_be_wrong = not now.answering <= allowed.backends and not (
            case.follow_up and self._rules.contract.protocol == "tcp"
        )
        kind = None
        if exchange.failed:
            decided = must_answer or (allowed.must_fail and not odd)
            if must_answer:
                kind = kinds.of_failure(exchange, case.bindings, self._rules)
        else:
            decided = bool(exchange.backend) and could_be_wrong
            if exchange.backend and exchange.backend not in allowed.backends:
                kind = kinds.of_answer(exchange, case.bindings, allowed, self._rules)
            elif exchange.anothers and not odd:
                kind = Kind.WRONG_ANSWER
        violation = None
        if kind is None and foreign is not None:
            kind = Kind.MOVED
            violation = self._evidence.wrong_key(exchange, foreign)
        elif kind is not None:
            first = next((each.first for each in case.bindings if each.first), None)
            violation = self._evidence.violation(kind, exchange, allowed.backends, first)
        return Judged(exchange, allowed.backends, decided or kind is not None, violation, must_answer)


def _raced(exchange: Exchange) -> bool:
    """Whether a kept connection was closed before any answer: its peer may do so at any moment (RFC 9112, 9.3.1).

    The client then tries again on a new connection, and that request is judged.
    """
    received = exchange.received
    return (
        received is not None
        and received.error in ("closed", "reset")
        and not received.status
        and "of a kept connection" in received.detail
    )


def _is_datagrams(contract: Contract) -> bool:
    """Whether the key is a flow of datagrams: it is no connection, and each of them is a use of the key."""
    return contract.affinity == "flow" and contract.protocol == "udp"


def _first_on_connection(found: Sequence[Exchange]) -> dict[str, Exchange]:
    """For each connection the first exchange that was answered."""
    first: dict[str, Exchange] = {}
    for each in found:
        if each.sent.connection and each.backend:
            first.setdefault(each.sent.connection, each)
    return first
