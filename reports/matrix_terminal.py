"""The matrix at a terminal: products and modes across as far as they fit, behaviours down, by area."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from limpet.harness.model.verdict import Verdict
from limpet.reports.final import Voice, show_end, show_trouble
from limpet.reports.looks import LOOKS
from limpet.reports.matrix import Area, Line, Matrix, Mode, Product
from limpet.reports.matrix_page import words
from limpet.reports.run import Row
from limpet.reports.text import one_line

_GAP = 2
_NARROW = 12
"""Cells: a column whose verdicts are shorter gets as much for the name of its mode."""


class _Chunk(msgspec.Struct, frozen=True):
    """Neighbouring columns of one product that fit side by side; ``first`` counts in the whole matrix."""

    product: Product
    first: int
    modes: tuple[Mode, ...]
    widths: tuple[int, ...]


def show_matrix(voice: Voice, matrix: Matrix, *, written: Iterable[Path], verbosity: int = 1) -> None:
    """Print the tables, what could not run, what failed, and the end of the run.

    Args:
        voice: where to.
        matrix: what was found.
        written: the files with the evidence.
        verbosity: 0 leaves out the rows in which nothing asks to be looked at, 2 shows them where nothing is promised.
    """
    if matrix.run.interrupted:
        voice.blank()
        voice.say("interrupted: what follows is what was known by then", style="bold yellow")
    names = max((cell_len(line.name) for area in matrix.areas for line in area.lines), default=0) + 2
    for chunk in _chunks(matrix, max(24, voice.console.width - names - _GAP)):
        _show_chunk(voice, matrix, chunk, names, verbosity)
    voice.blank()
    voice.say(matrix.title, style="bold")
    for verdict, number in matrix.counts.items():
        look = LOOKS[verdict]
        voice.say(f"{voice.mark(look)} {number} {verdict}", style=look.style, indent=2)
    show_trouble(voice, matrix.run, verbosity)
    _show_left_out(voice, matrix)
    if matrix.uncontrolled:
        voice.blank()
        voice.say(f"Without a control that is not sticky: {', '.join(matrix.uncontrolled)}")
    if matrix.slowest:
        voice.blank()
        slow = ", ".join(f"{each.info.name} {words(each.span.seconds)}" for each in matrix.slowest if each.span)
        voice.say(f"slowest, each beside all the others: {slow}")
    show_end(voice, matrix.run, written)


def _show_left_out(voice: Voice, matrix: Matrix) -> None:
    """Targets that could not run, those with the same cause and cure together."""
    causes: dict[tuple[str, str], list[str]] = {}
    for each in matrix.left_out:
        causes.setdefault((each.reason, each.install), []).append(each.target)
    if not causes:
        return
    voice.blank()
    voice.say(f"could not run here: {len(matrix.left_out)}", style="yellow")
    for (reason, install), names in causes.items():
        voice.say(f"{', '.join(names)}: {reason}", indent=2)
        if install:
            voice.literal(install, indent=4)


def _chunks(matrix: Matrix, room: int) -> Iterator[_Chunk]:
    column = 0
    for product in matrix.products:
        modes: list[Mode] = []
        widths: list[int] = []
        first = column
        for mode in product.modes:
            width = _width(mode)
            if modes and sum(widths) + width + _GAP * len(widths) > room:
                yield _Chunk(product, first, tuple(modes), tuple(widths))
                modes, widths, first = [], [], column
            modes.append(mode)
            widths.append(width)
            column += 1
        if modes:
            yield _Chunk(product, first, tuple(modes), tuple(widths))


def _width(mode: Mode) -> int:
    said = max((len(row.verdict) + 2 for row in mode.section.rows), default=0)
    return max(_NARROW, said, *map(cell_len, mode.label.split()), len("control"))


def _show_chunk(voice: Voice, matrix: Matrix, chunk: _Chunk, names: int, verbosity: int) -> None:
    voice.blank()
    voice.say(f"{chunk.product.title} {chunk.product.told}", style="bold underline")
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, expand=False)
    table.add_column("", width=names, overflow="fold")
    for mode, width in zip(chunk.modes, chunk.widths, strict=True):
        head = voice.text(mode.label, "bold")
        if mode.control:
            head.append("\ncontrol", "reverse")
        table.add_column(head, width=width, vertical="bottom", overflow="fold")
    shown = 0
    for area in matrix.areas:
        lines = [(line, cells) for line, cells in _lines(area, chunk) if _wanted(cells, verbosity)]
        if lines:
            table.add_row(voice.text(area.name, "bold"))
        for line, cells in lines:
            table.add_row(voice.text(f"  {line.name}"), *(_cell(voice, each) for each in cells))
            shown += 1
    if shown:
        voice.console.print(table)
    else:
        labels = ", ".join(one_line(each.label) for each in chunk.modes)
        judged = any(each.section.rows for each in chunk.modes)
        nothing = "is promised of what was checked" if verbosity else "asks to be looked at"
        voice.say(f"{labels}: nothing {nothing if judged else 'was run'}")


def _lines(area: Area, chunk: _Chunk) -> Iterator[tuple[Line, Sequence[Row | None]]]:
    for line in area.lines:
        yield line, line.cells[chunk.first : chunk.first + len(chunk.modes)]


def _wanted(cells: Sequence[Row | None], verbosity: int) -> bool:
    quiet = {Verdict.NOT_PROMISED} if verbosity else {Verdict.NOT_PROMISED, Verdict.HELD, Verdict.OBSERVED}
    return verbosity > 1 or any(each is not None and each.verdict not in quiet for each in cells)


def _cell(voice: Voice, row: Row | None) -> Text:
    if row is None:
        return voice.text("not run", "dim")
    look = LOOKS[row.verdict]
    return voice.text(f"{voice.mark(look)} {row.verdict}", look.style)
