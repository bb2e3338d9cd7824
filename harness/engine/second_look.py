"""What could not be decided is looked at a second time, when all the rest is done.

A run plays hundreds of scenarios side by side. Where the machine was too slow for one of them, the honest verdict is
*inconclusive*, and what anybody would do then is to play that one by itself; so does the run. The same where a check
held on fewer decisive answers than it says it needs. Nothing else that was decided is ever played again, so that no
*broken* can be washed away, and the result says what it was at first.
"""

from __future__ import annotations

import msgspec

from limpet.harness.engine.plan import Job
from limpet.harness.model.events import Event, ScenarioFinished
from limpet.harness.model.verdict import Result, Verdict

UNDECIDED = (Verdict.INCONCLUSIVE, Verdict.SETUP_FAILED)
AT_MOST = 0.03
"""The share of a run that is looked at again. Where more is undecided it is not for lack of time."""

AT_LEAST = 4
"""So many, in however small a run."""


class SecondLook:
    """Keeps back what was undecided until everything else is done.

    Args:
        jobs: all that will be played. What only one balancer exists for ran by itself already.
    """

    def __init__(self, jobs: tuple[Job, ...] | list[Job]) -> None:
        self._beside = {job.key: job for job in jobs if not job.loaded.target.single} if len(jobs) > 1 else {}
        self._room = max(AT_LEAST, int(AT_MOST * len(jobs)))
        self._first: dict[str, Result] = {}
        self._begun = False

    def take(self, event: Event) -> Event | None:
        """The event as it goes on; None for a result that is kept back."""
        if not isinstance(event, ScenarioFinished):
            return event
        result = event.result
        if self._begun:
            return ScenarioFinished(_told(result, self._first.pop(result.key, None)))
        undecided = result.verdict in UNDECIDED or result.falls_short
        if not undecided or result.key not in self._beside or len(self._first) >= self._room:
            return event
        self._first[result.key] = result
        return None

    def knows(self, key: str) -> bool:
        """Whether a result of this job is kept back."""
        return not self._begun and key in self._first

    def begin(self) -> list[Job]:
        """The jobs to be played again, once: all others are done. Empty where there are none."""
        if self._begun:
            return []
        self._begun = True
        return [self._beside[key] for key in self._first]


def _told(result: Result, first: Result | None) -> Result:
    if first is None:
        return result
    text = f"{first.verdict} beside the other scenarios ({first.reason})"
    return msgspec.structs.replace(
        result, at_first=text, reason=f"{result.reason}; played a second time, by itself: it was {text}"
    )
