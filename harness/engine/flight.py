"""A request that is under way while its scenario does other things: what a fault or a change meets in mid-air."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from limpet.harness.clients import Exchange
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import HarnessFault

_TAKEOFF = 5.0
"""Seconds until some backend must have the request, or it is taken for one that no backend ever gets."""

_LANDING = 30.0
"""Seconds until the answer must be there; clients give up long before."""


class Flight:
    """One request, sent from a thread of its own. Use it in a ``with``: no request may outlive its scenario.

    Only one may take off at a time, and nothing else may be sent meanwhile: its backend is told by the first request
    that arrives anywhere.

    Args:
        scenario: whose it is.
        send: sends the request (one that its backend holds for a while) and gives what came of it.
        wait: whether to return only when some backend has it; otherwise nobody knows who.
    """

    def __init__(self, scenario: Scenario, send: Callable[[], Exchange], *, wait: bool = True) -> None:
        self._scenario = scenario
        self._send = send
        self._exchange: Exchange | None = None
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flight", daemon=True)
        self.backend = ""
        """Who has it; "" when it reached nobody."""
        known = {each.id for each in scenario.arrived()} if wait else set()
        self._thread.start()
        if wait:
            scenario.until(lambda: self._took_off(known) or self.over, _TAKEOFF)
            first = next((each for each in scenario.arrived() if each.id not in known), None)
            self.backend = first.backend if first else ""

    @property
    def over(self) -> bool:
        """Whether its answer, or its failure, is there."""
        return not self._thread.is_alive()

    def land(self) -> Exchange:
        """What came of it.

        Raises:
            HarnessFault: nothing, not even the client's own timeout.
        """
        if not self._scenario.until(lambda: self.over, _LANDING):
            raise HarnessFault("a request is still under way although its client's time is over")
        if self._fault is not None:
            raise self._fault
        assert self._exchange is not None
        return self._exchange

    def join(self) -> None:
        """Waits for its end, whatever that is."""
        self._thread.join(_LANDING)

    def _took_off(self, known: set[str]) -> bool:
        return any(each.id not in known for each in self._scenario.arrived())

    def _run(self) -> None:
        try:
            self._exchange = self._send()
        except BaseException as err:  # noqa: BLE001 - raised again by whoever waits for it
            self._fault = err

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.join()
