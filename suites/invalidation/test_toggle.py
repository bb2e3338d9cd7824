"""Stickiness is turned off and on again while people use the service."""

from __future__ import annotations

import threading

from limpet import Client, Exchange, Kind, Observed, Scenario, behaviour, rebalanced, small_group
from limpet.harness.model.contract.durations import spoken

EACH = 2
VISITS = 2
PAUSE = 0.02
MOST = 100


class _Witness:
    """A user who goes on asking in a thread of its own, to see how long the service is interrupted."""

    def __init__(self, user: Client) -> None:
        self._user = user
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[Exchange] = []

    def _run(self) -> None:
        try:
            for _ in range(MOST):
                self.seen.append(self._user.visit())
                if self._stop.wait(PAUSE):
                    self.seen.append(self._user.visit())
                    return
        except BaseException as err:  # noqa: BLE001  raised again where it can be told
            self._error = err

    def __enter__(self) -> _Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def interruption(self) -> tuple[float, Exchange | None]:
        """The longest time without an answer that began or ended with a failure, in seconds; and that failure."""
        longest, shown = 0.0, None
        good = self.seen[0].sent.t if self.seen else 0.0
        failed: Exchange | None = None
        for each in self.seen:
            if not each.ok:
                failed = failed or each
            elif failed is not None:
                if each.received.t - good > longest:
                    longest, shown = each.received.t - good, failed
                failed = None
            if each.ok:
                good = each.received.t
        if failed is not None and self.seen[-1].received.t - good > longest:
            longest, shown = self.seen[-1].received.t - good, failed
        return longest, shown


@behaviour("invalidation.toggle", needs=("affinity",), touches="settings", error_rate=1e-6, budget=400, sees=0.98)
def test_toggle(s: Scenario) -> None:
    """Turned off live, everybody is balanced; turned on again, every pin is right again; and nobody is interrupted."""
    resting = [user for group in s.pinned_to_each(EACH).values() for user in group]
    active = s.pinned_to_each(small_group(s))
    witness_user = s.pinned(keep=False)
    with _Witness(witness_user) as witness:
        s.system.affinity(False)
    _judge_interruption(s, witness, "off")
    s.step("stickiness is off: everybody is balanced")
    rebalanced(s, active, Kind.SETTING_IGNORED, "stickiness was turned off")
    with _Witness(witness_user) as witness:
        s.system.affinity(True)
    _judge_interruption(s, witness, "on")
    s.step("stickiness is on again: those who rested and those who did not come back")
    people = [*resting, *(user for group in active.values() for user in group[:EACH])]
    stayed = 0
    for number in range(VISITS):
        s.rng.shuffle(people)  # which is luck enough: where a rotation stands for each of them is limpet's shuffle
        s.scramble()
        for user in people:
            before = user.backend
            stayed += user.visit(new_connection=True).backend == before and number == 0 and user in resting
    if s.contract.reaction.toggled is None:
        raise Observed(f"{stayed} of {len(resting)} users who rested meanwhile were still pinned to their backend")


def _judge_interruption(s: Scenario, witness: _Witness, turned: str) -> None:
    seconds, failure = witness.interruption()
    promised = s.contract.reaction.toggle_interruption
    if failure is not None:
        s.observe(f"turning stickiness {turned} interrupted the service for {seconds:.3f} s")
    if promised is None or not promised.binding:
        return
    longest = max(promised.allowed)
    # Where no interruption at all is promised, no failure is lawful, however short.
    lawful = failure is None if longest == 0 else seconds <= longest + s.system.loaded.target.timing.grace.value
    text = f"turning stickiness {turned} interrupted the service for {seconds:.3f} s; {spoken(longest)} are promised"
    s.expect(lawful, Kind.ERROR, text, failure)
