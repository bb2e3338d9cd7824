"""``summary.md``: a table for each target, and how to reproduce what is broken. Made for a CI job's summary page."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import msgspec

from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.evidence import (
    curl_text,
    deviation_note,
    emulation_note,
    is_link,
    requirement_line,
    strength_note,
    violations_text,
)
from limpet.reports.looks import LOOKS
from limpet.reports.pictures.files import pictures
from limpet.reports.run import AtTheEnd, Row, Run, Section
from limpet.reports.text import one_line, plain, write_atomically

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_FENCE = re.compile(r"`{3,}")


class MarkdownReport(AtTheEnd):
    """Writes ``summary.md`` at the end of a run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, run: Run) -> Path:
        """Write the file in one piece."""
        write_atomically(self._path, render(run, self._path.parent).encode("utf-8"))
        return self._path


def render(run: Run, out: Path | None = None) -> str:
    """The whole page; with the run's output folder, pictures are linked."""
    state = " The run was interrupted: what follows is what was known by then." if run.interrupted else ""
    parts = [
        "# limpet: conformance",
        f"**{_words(run.judgement.summary)}** (exit {int(run.judgement.code)}).{state}",
    ]
    if run.judgement.reasons:
        parts.append("\n".join(f"- {_words(reason)}" for reason in run.judgement.reasons))
    parts.append(
        f"Run {_words(run.started.run)}, {_words(run.started.started)}, limpet {_words(run.started.version)}, "
        f"seed {run.started.seed}, {run.wall:.1f} s. Again:\n\n{_code(run.started.command)}"
    )
    parts += [_section(section, out) for section in run.sections]
    return "\n\n".join(parts) + "\n"


def _section(section: Section, out: Path | None) -> str:
    lines = [f"## {_words(section.info.title or section.info.name)}", f"{_words(section.subtitle)}"]
    if note := emulation_note(section.info):
        lines.append(_words(note))
    lines.append(f"{_words(section.summary)}")
    shown = [row for row in section.rows if row.verdict is not Verdict.NOT_PROMISED]
    if shown:
        lines.append("\n".join(["| behaviour | verdict | why |", "|---|---|---|", *map(_row, shown)]))
    elif not section.rows:
        lines.append("Nothing was run.")
    silent = [_words(row.behaviour) for row in section.rows if row.verdict is Verdict.NOT_PROMISED]
    if silent:
        lines.append(f"Not promised: {', '.join(silent)}.")
    lines += filter(None, [_pictures(result, out) for result in section.results])
    lines += [_broken(result) for result in section.results if result.verdict is Verdict.BROKEN]
    lines += [_known(result) for result in section.results if result.verdict is Verdict.KNOWN_DEVIATION]
    return "\n\n".join(lines)


def _pictures(result: Result, out: Path | None) -> str:
    """Links, "" where there is nothing to see."""
    found = pictures(result, out) if out is not None else ()
    links = [f"[{each.name}]({quote(each.path)})" for each in found]
    return f"{_words(result.name)}: {', '.join(links)}" if links else ""


def _row(row: Row) -> str:
    return f"| {_words(row.behaviour)} | {LOOKS[row.verdict].mark} {row.verdict} | {_words(row.why)} |"


def _broken(result: Result) -> str:
    parts = [f"### Broken: {_words(result.name)}", _words(result.reason)]
    parts += [_words(note) for note in (strength_note(result), deviation_note(result)) if note]
    if result.requirements:
        parts.append("\n".join(_requirement(number, result) for number in range(len(result.requirements))))
    if evidence := violations_text(result):
        parts.append(_code(evidence, "text"))
    if result.detail:
        parts.append("\n".join(f"- {_words(line)}" for line in plain(result.detail).splitlines()))
    if curl := curl_text(result):
        parts += ["Without limpet:", _code(curl)]
    return "\n\n".join(parts)


def _known(result: Result) -> str:
    """What was seen again, shorter than what is new: it was looked at by hand before it was accepted."""
    seen = violations_text(msgspec.structs.replace(result, violations=result.violations[:1]))
    return "\n\n".join(filter(None, [
        f"### Known deviation: {_words(result.name)}", _words(result.reason), _words(deviation_note(result)),
        _code(seen, "text") if seen else "",
    ]))  # fmt: skip


def _requirement(number: int, result: Result) -> str:
    requirement = result.requirements[number]
    sources = [f"<{each}>" if is_link(each) else _words(each) for each in requirement.sources]
    return f"- {_words(requirement_line(requirement))} {' '.join(sources)}".rstrip()


def _words(text: str) -> str:
    """Text that Markdown and the HTML inside it take literally, on one line."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _code(text: str, language: str = "sh") -> str:
    """A code block whose fence is longer than any in the text."""
    text = plain(text)
    fence = "`" * max(3, 1 + max((len(each) for each in _FENCE.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
