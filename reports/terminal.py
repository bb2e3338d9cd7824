"""The terminal: live progress while scenarios run, then the table, the evidence and the last line."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from limpet.harness.model.events import (
    Event,
    RunFinished,
    RunStarted,
    ScenarioFinished,
    ScenarioProgress,
    ScenarioStarted,
)
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.final import Voice, show_run
from limpet.reports.looks import LOOKS
from limpet.reports.run import finished_run
from limpet.reports.text import gist, one_line

_LOUD = {Verdict.BROKEN, Verdict.SETUP_FAILED, Verdict.HARNESS_ERROR}

_LOG = 240
"""Columns of a line where nobody looks at a terminal: a reason is not to be cut in a log."""

_WORDS_EVERY = 15.0
"""Seconds between two lines about long scenarios, where no line can move."""


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=_LOG)


class TerminalReport:
    """Shows a run on a terminal, or in a log where there is none.

    Args:
        console: where to; colour and width are its business (rich follows NO_COLOR and TERM).
        written: what the other reports wrote, asked for at the end.
        show: prints the last page.
        verbosity: 0 names held rows only, 1 shows every row, 2 every variant and all evidence.
        live: a moving progress line; by default on a terminal outside of CI.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        written: Callable[[], Iterable[Path]] = tuple,
        show: Callable[..., None] = show_run,
        verbosity: int = 1,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or _console()
        self._voice = Voice(self._console)
        self._written = written
        self._show = show
        self._verbosity = verbosity
        self._is_live = self._console.is_terminal and not os.environ.get("CI") if live is None else live
        self._clock = clock
        self._plan: RunStarted | None = None
        self._began = clock()
        self._counts: Counter[Verdict] = Counter()
        self._said: set[tuple[str, Verdict, str]] = set()
        self._in_flight: dict[tuple[str, str], float] = {}
        self._live: Live | None = None
        self._words: dict[tuple[str, str], str] = {}
        self._last_words = self._began

    def handle(self, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._start(event)
            case ScenarioStarted():
                self._in_flight[event.target, event.name] = self._clock()
            case ScenarioProgress():
                self._in_progress(event)
            case ScenarioFinished():
                self._note(event.result)
            case RunFinished():
                self.close()
                run = finished_run(self._plan, event)
                self._show(self._voice, run, written=self._written(), verbosity=self._verbosity)

    def close(self) -> None:
        """Take the progress line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start(self, plan: RunStarted) -> None:
        self._plan = plan
        self._began = self._clock()
        count = len(plan.targets)
        targets = "1 target" if count == 1 else f"{count} targets"
        scenarios = "1 scenario" if plan.planned == 1 else f"{plan.planned} scenarios"
        self._voice.say(f"limpet {plan.version}: {scenarios} on {targets}, seed {plan.seed}")
        for told in dict.fromkeys(f"{one_line(each.product)} {each.told}" for each in plan.targets if each.documented):
            self._voice.say(told)
        if self._is_live:
            self._live = Live(
                get_renderable=self._progress,
                console=self._console,
                refresh_per_second=5,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _note(self, result: Result) -> None:
        self._in_flight.pop((result.target, result.name), None)
        self._words.pop((result.target, result.name), None)
        self._counts[result.verdict] += 1
        # One bad configuration costs every row of a target: its cause is said once, and again with the last page.
        cause = (result.target, result.verdict, gist(result.reason))
        if result.verdict in _LOUD and (result.verdict is Verdict.BROKEN or cause not in self._said):
            self._said.add(cause)
            look = LOOKS[result.verdict]
            self._voice.say(
                self._voice.mark(look), f"{result.verdict}: {result.target} {result.name}: {result.reason}",
                style=look.style,
            )  # fmt: skip
        if self._live is not None:
            self._live.refresh()
        elif self._done % self._every == 0 or self._done == self._planned:
            self._voice.say(f"[{self._done}/{self._planned}] {self._elapsed}  {self._counted()}")

    def _in_progress(self, event: ScenarioProgress) -> None:
        """Says where a long scenario is: in the moving lines, or as a line of its own now and then."""
        self._words[event.result.target, event.result.name] = event.text
        if self._live is None and self._clock() - self._last_words >= _WORDS_EVERY:
            self._last_words = self._clock()
            self._voice.say(f"{self._elapsed}  {event.result.name} on {event.result.target}: {event.text}")

    @property
    def _done(self) -> int:
        return self._counts.total()

    @property
    def _planned(self) -> int:
        return max(self._plan.planned if self._plan else 0, self._done)

    @property
    def _every(self) -> int:
        """A log gets about ten progress lines, however long the run."""
        return max(5, -(-self._planned // 10))

    @property
    def _elapsed(self) -> str:
        seconds = int(self._clock() - self._began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _counted(self) -> str:
        return ", ".join(f"{self._counts[verdict]} {verdict}" for verdict in LOOKS if self._counts[verdict])

    def _progress(self) -> RenderableType:
        """A few lines, never wider than the console: the bar, the verdicts so far, what is in flight, how far it is."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(width=max(8, min(30, self._console.width // 5)))
        grid.add_column(no_wrap=True)
        counts = Text("  ", no_wrap=True, overflow="ellipsis").join(
            self._voice.text(f"{self._voice.mark(look)} {self._counts[verdict]} {verdict}", look.style)
            for verdict, look in LOOKS.items()
            if self._counts[verdict]
        )
        bar = ProgressBar(total=max(1, self._planned), completed=self._done)
        grid.add_row(self._elapsed, bar, f"{self._done}/{self._planned}")
        # The refresh thread reads while the engine's thread writes: take one snapshot.
        flying = list(self._in_flight)
        names = ", ".join(one_line(name) for _, name in flying)
        line = self._voice.cut(f"running {len(flying)}: {names}" if flying else "nothing in flight", "dim")
        going = [f"{name}: {text}" for (_, name), text in list(self._words.items())]
        return Group(grid, counts, line, *(self._voice.cut(one_line(each), "dim") for each in going[:3]))
