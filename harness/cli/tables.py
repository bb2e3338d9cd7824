"""Tables for people at a terminal and for programs behind a pipe."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_COLUMN = 28
"""Cells: with less than that for each column a table is no longer readable."""


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: fitted to the terminal, or, behind a pipe, one unbroken line a row.

    Args:
        head: the columns' names.
        rows: one text for each column; line breaks are kept at a terminal and become blanks behind a pipe.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        _plain(head, rows)
        return
    if console.width < _COLUMN * len(head):
        _stacked(console, rows)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
    for number, name in enumerate(head):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _stacked(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Where columns would be too narrow to read: what is short on one line, each longer cell beneath it."""
    for row in rows:
        name, *rest = row
        short = [cell for cell in rest if 0 < len(cell) <= _COLUMN and "\n" not in cell]
        long = [cell for cell in rest if cell and cell not in short]
        console.print(Text("  ").join([Text(name, "bold"), *map(Text, short)]))
        for cell in long:
            console.print(Padding(Text(cell, overflow="fold"), (0, 0, 0, 4), expand=False))


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [head, *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
