"""``matrix.html`` and ``matrix.json``: the comparison of all targets of a run, for people and for machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from limpet.harness.model.events import Event, RunStarted, ScenarioFinished, ScenarioStarted
from limpet.harness.model.verdict import Verdict
from limpet.reports.html import page
from limpet.reports.looks import MEANING
from limpet.reports.matrix import Area, LeftOut, Matrix, Mode, Product, Span, matrix_of, reproduction
from limpet.reports.matrix_json import encode
from limpet.reports.run import AtTheEnd, Row, Run
from limpet.reports.text import write_atomically

PAGE = "matrix.html"
FILE = "matrix.json"

LOUD = frozenset({Verdict.BROKEN, Verdict.KNOWN_DEVIATION, Verdict.HARNESS_ERROR, Verdict.SETUP_FAILED})
"""Whose evidence is printed on paper too."""

_SHEET = 9
"""Columns that a printed page can hold; a product with more gets pages of equal width."""


class Sheet(msgspec.Struct, frozen=True):
    """What is printed as one table: some modes of one product, and what any of them promises."""

    product: Product
    modes: tuple[Mode, ...]
    areas: tuple[Area, ...]


class MatrixReport(AtTheEnd):
    """Writes both files at the end of a run; ``written`` is the page.

    Args:
        directory: the run's output folder, to which histories are relative.
        left_out: targets that could not be run here.
        own: directories of the user's own targets, by name.
        clock: seconds, monotonic; says how long each target took.
    """

    def __init__(
        self,
        directory: Path,
        left_out: Sequence[LeftOut] = (),
        own: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.matrix: Matrix | None = None
        self._directory = directory
        self._left_out = left_out
        self._own = own or {}
        self._clock = clock
        self._start = clock()
        self._spans: dict[str, Span] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """What it has written."""
        return () if self.written is None else (self.written, self.written.with_name(FILE))

    def handle(self, event: Event) -> None:
        """Keep when each target began and ended; write at the end.

        Raises:
            OSError: a file cannot be written.
        """
        now = self._clock() - self._start
        match event:
            case RunStarted():
                self._start = self._clock()
            case ScenarioStarted():
                self._spans.setdefault(event.target, Span(now, now))
            case ScenarioFinished() if event.result.target in self._spans:
                begin = self._spans[event.result.target].begin
                self._spans[event.result.target] = Span(begin, now)
        super().handle(event)

    def write(self, run: Run) -> Path:
        """Write each file in one piece."""
        self.matrix = matrix_of(run, self._spans, self._left_out, self._own)
        write_atomically(self._directory / FILE, encode(self.matrix))
        path = self._directory / PAGE
        write_atomically(path, render(self.matrix).encode("utf-8"))
        return path


def render(matrix: Matrix) -> str:
    """The whole page, under the same policy as ``report.html``."""
    firsts, column = set(), 0
    for product in matrix.products:
        firsts.add(column)
        column += len(product.modes)
    return page(
        "matrix.html.j2", "matrix.js.j2", {"span": words, "again": partial(_again, matrix), "stale": stale},
        matrix=matrix, sheets=sheets(matrix), firsts=firsts, meaning=MEANING, not_promised=Verdict.NOT_PROMISED,
        loud=LOUD,
    )  # fmt: skip


def sheets(matrix: Matrix) -> tuple[Sheet, ...]:
    """The matrix cut into tables that fit on paper; rows that none of a table's modes promises are left out."""
    found: list[Sheet] = []
    column = 0
    for product in matrix.products:
        pages = -(-len(product.modes) // _SHEET)
        size = -(-len(product.modes) // pages)
        for first in range(0, len(product.modes), size):
            modes = product.modes[first : first + size]
            found.append(Sheet(product, modes, _cut(matrix.areas, column + first, column + first + len(modes))))
        column += len(product.modes)
    return tuple(found)


def _cut(areas: Sequence[Area], begin: int, end: int) -> tuple[Area, ...]:
    cut = []
    for area in areas:
        lines = [msgspec.structs.replace(line, cells=line.cells[begin:end]) for line in area.lines]
        said = [line for line in lines if any(each and each.verdict is not Verdict.NOT_PROMISED for each in line.cells)]
        if said:
            cut.append(Area(area.name, tuple(said)))
    return tuple(cut)


def words(seconds: float) -> str:
    """Seconds for people: ``4.2 s``, ``75 s``, ``5 min 12 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def stale(row: Row) -> bool:
    """Whether it holds what a known deviation says that it does not, which fails a run as much as a broken promise."""
    return any(each.stale for each in row.results)


def _again(matrix: Matrix, mode: Mode, row: Row | None = None) -> str:
    return reproduction(mode, matrix.run.started.seed, row)
