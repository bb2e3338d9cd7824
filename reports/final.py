"""The terminal's last page: a section for each target, the evidence of what is broken, the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, OverflowMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from limpet.harness.model.verdict import ExitCode, Result, Verdict
from limpet.harness.model.violation import Violation
from limpet.reports.evidence import curl_text, deviation_note, facts, requirement_line, strength_note
from limpet.reports.looks import LOOKS, Look
from limpet.reports.run import Row, Run, Section
from limpet.reports.text import gist, one_line, plain

_VIOLATIONS = 3
_TRAIL = 6
_DETAIL = 12
_WIDE = 100
_QUIET = {Verdict.HELD, Verdict.NOT_PROMISED}
_AS_IT_SHOULD = {*_QUIET, Verdict.OBSERVED}
"""Rows that nobody has to look at; over several targets they are only counted."""


class Voice:
    """Prints literal text on a console: no markup, no control characters, ASCII where the console has no more."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._ascii = console.options.ascii_only
        self.overflow: OverflowMethod = "crop" if self._ascii else "ellipsis"

    def text(self, text: str, style: str = "") -> Text:
        """Text for the console."""
        text = plain(text)
        if self._ascii:
            text = text.replace("·", "-").replace("…", "...").encode("ascii", "backslashreplace").decode()
        return Text(text, style=style, overflow="fold")

    def cut(self, text: str, style: str = "") -> Text:
        """Text that stays on one line, cut where the line ends."""
        cut = self.text(one_line(text), style)
        cut.no_wrap = True
        cut.overflow = self.overflow
        return cut

    def mark(self, look: Look) -> str:
        """The mark of a verdict that the console can show."""
        return look.ascii if self._ascii else look.mark

    def say(self, *words: str, style: str = "", indent: int = 0) -> None:
        """Print one paragraph, wrapped to the width and indented."""
        text = self.text(one_line(" ".join(words)), style)
        self.console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def literal(self, text: str, *, indent: int) -> None:
        """Print lines that will be copied: never wrapped by limpet."""
        for line in plain(text).splitlines():
            self.console.print(self.text(" " * indent + line), soft_wrap=True, highlight=False)


def show_run(voice: Voice, run: Run, *, written: Iterable[Path], verbosity: int = 1) -> None:
    """Print everything: tables, or for several targets (without -v) counts and what stands out; evidence; summary."""
    if run.interrupted:
        voice.blank()
        voice.say("interrupted: what follows is what was known by then", style="bold yellow")
    brief = len(run.sections) > 1 and verbosity < 2
    for section in run.sections:
        (_show_brief if brief else _show_section)(voice, section, verbosity)
    if brief:
        voice.blank()
        voice.say(
            "Rows that are held, observed or not promised are only counted here: -v shows all of them.", style="dim"
        )
    show_trouble(voice, run, verbosity)
    for result in run.broken:
        _show_broken(voice, result, verbosity)
    for result in run.known:
        _show_known(voice, result, verbosity)
    show_end(voice, run, written)


def _show_head(voice: Voice, section: Section) -> None:
    voice.blank()
    voice.say(section.info.title or section.info.name, style="bold underline")
    voice.say(section.subtitle, style="dim")
    voice.say(section.summary if section.rows else "nothing was run")


def _show_brief(voice: Voice, section: Section, verbosity: int) -> None:
    """One line for each theme, and beneath it the rows that somebody has to look at; with -q those alone."""
    _show_head(voice, section)
    themes = list(dict.fromkeys(row.theme for row in section.rows))
    width = max(map(cell_len, themes), default=0)
    for theme in themes:
        rows = [row for row in section.rows if row.theme == theme]
        if verbosity:
            found = Counter(each.verdict for row in rows for each in row.results)
            counts = Text(", ").join(
                voice.text(f"{found[verdict]} {verdict}", "" if verdict in _AS_IT_SHOULD else look.style)
                for verdict, look in LOOKS.items()
                if found[verdict]
            )
            line = Text.assemble("  ", voice.text(one_line(theme).ljust(width + 2)), counts)
            voice.console.print(Padding(line, 0, expand=False))
        if shown := [row for row in rows if row.verdict not in _AS_IT_SHOULD]:
            _stack(voice, shown, verbosity, indent=4 if verbosity else 2)


def _show_section(voice: Voice, section: Section, verbosity: int) -> None:
    _show_head(voice, section)
    shown = [row for row in section.rows if row.verdict not in _QUIET or (verbosity and row.verdict is Verdict.HELD)]
    if verbosity > 1:
        shown = [Row(each.name, each.verdict, (each,)) for row in shown for each in row.results]
    if shown and voice.console.width < _WIDE:
        _stack(voice, shown, verbosity)
    elif shown:
        voice.console.print(_table(voice, shown, verbosity))
    for verdict in (Verdict.HELD, Verdict.NOT_PROMISED):
        names = [row.behaviour for row in section.rows if row.verdict is verdict]
        if names and (verdict is Verdict.NOT_PROMISED or not verbosity):
            voice.say(f"{voice.mark(LOOKS[verdict])} {verdict}: {', '.join(names)}", style="dim", indent=2)


def _table(voice: Voice, rows: list[Row], verbosity: int) -> Table:
    """Held rows take one line each; what is not held says why in full."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", expand=False)
    table.add_column("")
    table.add_column("behaviour", max_width=voice.console.width * 2 // 5, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in rows:
        look = LOOKS[row.verdict]
        why = _why(row)
        short = row.verdict is Verdict.HELD and verbosity < 2
        table.add_row(
            voice.text(voice.mark(look), look.style),
            voice.text(row.behaviour),
            voice.text(str(row.verdict), look.style),
            voice.cut(why, "dim") if short else voice.text(why),
        )
    return table


def _stack(voice: Voice, rows: list[Row], verbosity: int, *, indent: int = 0) -> None:
    """The same on a narrow console: a reason that does not fit behind its verdict goes beneath it."""
    for row in rows:
        look = LOOKS[row.verdict]
        head = voice.text(f"{' ' * indent}{voice.mark(look)} ", look.style)
        head.append_text(voice.text(f"{one_line(row.behaviour)}  "))
        head.append_text(voice.text(str(row.verdict), look.style))
        why = _why(row)
        short = row.verdict is Verdict.HELD and verbosity < 2
        if short or head.cell_len + 2 + cell_len(why) <= voice.console.width:
            head.append_text(voice.text(f"  {why}", "dim"))
            # As arguments: of the text's own settings rich's print keeps none.
            voice.console.print(head, no_wrap=True, overflow=voice.overflow)
        else:
            voice.console.print(head)
            voice.say(why, indent=indent + 4)


def _why(row: Row) -> str:
    """In a table of variants each name carries its variant already."""
    only = row.results[0]
    return one_line(only.reason) if len(row.results) == 1 and only.name == row.behaviour else row.why


def show_trouble(voice: Voice, run: Run, verbosity: int) -> None:
    """What could not be set up and what limpet failed in, each cause once: one bad configuration costs many rows."""
    causes: dict[tuple[str, Verdict, str, str], list[Result]] = {}
    for result in run.results:
        if result.verdict in (Verdict.SETUP_FAILED, Verdict.HARNESS_ERROR):
            cause = (result.target, result.verdict, gist(result.reason), gist(result.detail))
            causes.setdefault(cause, []).append(result)
    for first, *others in causes.values():
        look = LOOKS[first.verdict]
        more = f" and {len(others)} more" if others else ""
        voice.blank()
        voice.say(f"{voice.mark(look)} {first.verdict}: {first.target} {first.name}{more}", style=look.style)
        voice.say(first.reason, indent=2)
        lines = plain(first.detail).splitlines()
        voice.literal("\n".join(lines if verbosity > 1 else lines[-_DETAIL:]), indent=4)


def _show_broken(voice: Voice, result: Result, verbosity: int) -> None:
    look = LOOKS[result.verdict]
    voice.blank()
    voice.say(f"{voice.mark(look)} broken: {result.target} {result.name}", style=look.style)
    voice.say(result.reason, indent=2)
    for note in filter(None, (strength_note(result), deviation_note(result))):
        voice.say(note, indent=2)
    for requirement in result.requirements:
        voice.say(requirement_line(requirement), style="dim", indent=2)
        for source in requirement.sources:
            voice.literal(one_line(source), indent=4)
    limit = len(result.violations) if verbosity > 1 else _VIOLATIONS
    for violation in result.violations[:limit]:
        _show_violation(voice, violation, verbosity)
    if (left := len(result.violations) - limit) > 0:
        voice.say(f"and {left} more violations (all of them in conformance.json)", style="dim", indent=2)
    for line in result.detail.splitlines():
        voice.say(line, indent=2)
    if curl := curl_text(result):
        voice.say("without limpet (the balancer must still run):", indent=2)
        voice.literal(curl, indent=4)
    if result.history:
        voice.say(f"history: {result.history}", style="dim", indent=2)
    if result.packets:
        voice.say(f"packets: {result.packets}", style="dim", indent=2)


def _show_known(voice: Voice, result: Result, verbosity: int) -> None:
    """What was accepted beforehand, with as much as tells it from something else."""
    look = LOOKS[result.verdict]
    voice.blank()
    voice.say(f"{voice.mark(look)} known deviation: {result.target} {result.name}", style=look.style)
    voice.say(result.reason, indent=2)
    if note := deviation_note(result):
        voice.say(note, indent=2)
    for violation in result.violations if verbosity > 1 else result.violations[:1]:
        _show_violation(voice, violation, verbosity)
    if result.history:
        voice.say(f"history: {result.history}", style="dim", indent=2)
    if result.packets:
        voice.say(f"packets: {result.packets}", style="dim", indent=2)


def _show_violation(voice: Voice, violation: Violation, verbosity: int) -> None:
    voice.say(f"{violation.kind}: {violation.text}", indent=2)
    if known := facts(violation):
        voice.say(known, indent=4)
    start = 0 if verbosity > 1 else max(0, len(violation.trail) - _TRAIL)
    if start:
        voice.say(f"| ({start} earlier events)", style="dim", indent=4)
    for event in violation.trail[start:]:
        voice.say(f"| {one_line(event)}", style="dim", indent=4)


def show_end(voice: Voice, run: Run, written: Iterable[Path]) -> None:
    """Print why the run ended as it did, its summary, what it took, and where the reports are."""
    voice.blank()
    code = run.judgement.code
    for reason in run.judgement.reasons:
        voice.say(reason)
    style = {ExitCode.HELD: "bold green", ExitCode.BROKEN: "bold red"}.get(code, "bold yellow")
    voice.say(run.judgement.summary, style=style)
    overlapped = f" (its waits add up to {run.waited:.1f} s)" if run.waited else ""
    voice.say(f"exit {int(code)}, {run.wall:.1f} s{overlapped}, seed {run.started.seed}", style="dim")
    paths = [str(path) for path in written]
    if paths:
        voice.say("written:", style="dim")
    for path in paths:
        voice.literal(path, indent=2)
