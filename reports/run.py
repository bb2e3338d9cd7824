"""A finished run as reports see it: results in a stable order, grouped by target and by row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from limpet.harness.model.events import Event, RunFinished, RunStarted, ScenarioFinished, TargetInfo
from limpet.harness.model.verdict import Judgement, Result, Verdict, summarize, worst
from limpet.reports.text import one_line


class Row(msgspec.Struct, frozen=True):
    """One behaviour on one target: its variants, and the worst of their verdicts."""

    behaviour: str
    verdict: Verdict
    results: tuple[Result, ...]

    @property
    def theme(self) -> str:
        """The behaviour's family: what stands before the dot."""
        return self.behaviour.partition(".")[0]

    @property
    def speaking(self) -> tuple[Result, ...]:
        """The variants that have the row's verdict."""
        return tuple(each for each in self.results if each.verdict is self.verdict)

    @property
    def why(self) -> str:
        """The reason of the first speaking variant, and how many others say the same."""
        first, *others = self.speaking
        text = one_line(first.reason)
        if len(self.results) == 1:
            return f"[{first.variant}] {text}" if first.variant else text
        if not others:
            return f"[{first.variant}] {text} (1 of {len(self.results)} variants)"
        names = ", ".join(each.variant for each in self.speaking)
        count = "all" if len(self.speaking) == len(self.results) else f"{len(self.speaking)} of"
        return f"{text} ({count} {len(self.results)} variants: {one_line(names)})"


class Section(msgspec.Struct, frozen=True):
    """One target under one profile, with its rows in order of name."""

    info: TargetInfo
    rows: tuple[Row, ...]
    interrupted: bool = False

    @property
    def results(self) -> tuple[Result, ...]:
        """All results of the target, in the order of its rows."""
        return tuple(result for row in self.rows for result in row.results)

    @property
    def summary(self) -> str:
        """``held 12 of 14 promised, …``, for this target alone; of an interrupted run: what was known by then."""
        return ("so far " if self.interrupted else "") + summarize(self.results)

    @property
    def subtitle(self) -> str:
        """What runs, its version, the profile, whether it plays or is judged as another product, and the network."""
        product = one_line(f"{self.info.product} {self.info.told}")
        played = one_line(self.info.plays)
        kind = f" · {'emulation of' if self.info.emulation else 'judged by the contract of'} {played}" if played else ""
        network = f" · network {self.info.network}" if self.info.network else ""
        return f"{product} · profile {self.info.profile}{kind}{network}"


class Run(msgspec.Struct, frozen=True):
    """Everything a report can say."""

    started: RunStarted
    results: tuple[Result, ...]
    judgement: Judgement
    wall: float
    waited: float
    interrupted: bool

    @property
    def sections(self) -> tuple[Section, ...]:
        """One section for each target, in the order of the plan; targets without any result included."""
        return tuple(Section(info, rows_of(_concerning(info, self)), self.interrupted) for info in self.started.targets)

    @property
    def broken(self) -> tuple[Result, ...]:
        """The accusations."""
        return tuple(each for each in self.results if each.verdict is Verdict.BROKEN)

    @property
    def known(self) -> tuple[Result, ...]:
        """What was accepted beforehand, and happened again."""
        return tuple(each for each in self.results if each.verdict is Verdict.KNOWN_DEVIATION)


def rows_of(results: Iterable[Result]) -> tuple[Row, ...]:
    """The rows of one target's results, in order of name."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.behaviour, []).append(result)
    return tuple(
        Row(name, worst(each.verdict for each in members), tuple(members)) for name, members in sorted(grouped.items())
    )


def finished_run(started: RunStarted | None, finished: RunFinished) -> Run:
    """Join the two ends of a run. A run that ended before its plan was made has no targets but those of its results."""
    if started is None:
        started = RunStarted(run="", seed=0, version="", started="", targets=(), planned=0, command="")
    known = {(each.name, each.profile) for each in started.targets}
    targets = list(started.targets)
    for result in finished.results:
        if (result.target, result.profile) not in known:
            known.add((result.target, result.profile))
            targets.append(
                TargetInfo(
                    result.target,
                    result.target,
                    result.product,
                    result.profile,
                    emulation=result.emulation,
                    plays=result.plays,
                )
            )
    position = {(each.name, each.profile): number for number, each in enumerate(targets)}
    results = sorted(
        finished.results, key=lambda each: (position[each.target, each.profile], each.behaviour, each.variant)
    )
    return Run(
        started=msgspec.structs.replace(started, targets=tuple(targets)),
        results=tuple(results),
        judgement=finished.judgement,
        wall=finished.wall,
        waited=finished.waited,
        interrupted=finished.interrupted,
    )


def _concerning(info: TargetInfo, run: Run) -> list[Result]:
    return [each for each in run.results if (each.target, each.profile) == (info.name, info.profile)]


class Writer(Protocol):
    """A handler that leaves a file or folder; ``written`` is where, None as long as it has not."""

    written: Path | None

    def handle(self, event: Event) -> None:
        """Take one event."""
        ...


class AtTheEnd:
    """Base of the handlers that write one thing when the run is over, interrupted or not."""

    def __init__(self) -> None:
        self.written: Path | None = None
        self._started: RunStarted | None = None

    def handle(self, event: Event) -> None:
        """Keep the plan; write at the end.

        Raises:
            OSError: the file cannot be written.
        """
        if isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, ScenarioFinished):
            self.note(event.result)
        elif isinstance(event, RunFinished):
            self.written = self.write(finished_run(self._started, event))

    def note(self, result: Result) -> None:
        """One result came in; most reports wait for the end."""

    def write(self, run: Run) -> Path:
        """Write the report and say where."""
        raise NotImplementedError
