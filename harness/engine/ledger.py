"""The jobs of a run and what came of them so far, for whatever runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from limpet.harness.engine.plan import Job
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.events import Event, ScenarioFinished, ScenarioProgress
from limpet.harness.model.verdict import Result

Emit = Callable[[Event], None]


class Ledger:
    """Keeps the results.

    Args:
        jobs: what to run.
        emit: takes events, in the thread that calls `_deliver`.
    """

    def __init__(self, jobs: Sequence[Job], emit: Emit) -> None:
        self._jobs = {job.key: job for job in jobs}
        self._emit = emit
        self._results: dict[str, Result] = {}
        self._interim: dict[str, Result] = {}
        self._began = 0.0

    @property
    def wall(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def planned(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    @property
    def results(self) -> tuple[Result, ...]:
        """The results so far, in the order of the jobs."""
        return tuple(self._results[key] for key in self._jobs if key in self._results)

    @property
    def results_so_far(self) -> tuple[Result, ...]:
        """The same, with those of long scenarios that are still under way as they are now."""
        known = {**self._interim, **self._results}
        return tuple(known[key] for key in self._jobs if key in known)

    def _begin(self) -> None:
        self._began = time.monotonic()

    def _must_be_planned(self, key: str) -> None:
        """Nobody waits for a result that will never come.

        Raises:
            HarnessFault: no such job was planned.
        """
        if key not in self._jobs:
            raise HarnessFault(f"no job {key} was planned")

    def _deliver(self, event: Event) -> None:
        if isinstance(event, ScenarioProgress):
            self._interim[event.result.key] = event.result
        if isinstance(event, ScenarioFinished):
            self._results[event.result.key] = event.result
        self._emit(event)
