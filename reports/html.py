"""``report.html``: one self-contained page, behaviours down and targets across, every verdict with its evidence."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import jinja2
import msgspec
from markupsafe import Markup

from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.evidence import (
    certainty,
    cost,
    curl_text,
    emulation_note,
    facts,
    is_link,
    requirement_line,
    strength_note,
)
from limpet.reports.looks import LOOKS, Look
from limpet.reports.pictures.files import pictures
from limpet.reports.run import AtTheEnd, Row, Run
from limpet.reports.text import one_line, plain, write_atomically

_TEMPLATES = Path(__file__).parent / "templates"


class Line(msgspec.Struct, frozen=True):
    """One line of the matrix: a behaviour and its row on each target, None where it was not run."""

    behaviour: str
    cells: tuple[Row | None, ...]


class Theme(msgspec.Struct, frozen=True):
    """The matrix lines of one family of behaviours."""

    name: str
    lines: tuple[Line, ...]


class HtmlReport(AtTheEnd):
    """Writes ``report.html`` at the end of a run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, run: Run) -> Path:
        """Write the page in one piece."""
        write_atomically(self._path, render(run, self._path.parent).encode("utf-8"))
        return self._path


def render(run: Run, out: Path | None = None) -> str:
    """The whole page. Nothing in it is taken from elsewhere, and its policy forbids the browser to try.

    Args:
        run: what it tells.
        out: the run's output folder, from which pictures are taken into the page; None for a page without any.
    """

    def drawn(result: Result) -> list[tuple[str, Markup]]:
        found = pictures(result, out) if out is not None else ()
        return [(each.name, Markup((out / each.path).read_text("utf-8"))) for each in found]  # type: ignore[operator]

    return page(
        "report.html.j2", "report.js.j2", {"pictures": drawn}, run=run, themes=themes(run), counts=_counts(run),
        not_promised=Verdict.NOT_PROMISED,
    )  # fmt: skip


def page(template: str, script: str, more: Mapping[str, Callable[..., object]] | None = None, **values: object) -> str:
    """A page from a template and the one script that its policy lets run.

    Args:
        template: its name.
        script: the script's name.
        more: filters besides those that all pages have.
        **values: what the template shows.
    """
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    # By name Jinja2 escapes nothing in *.j2, so it is told to escape everything; `finalize` sees what it prints first.
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, finalize=_safe, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        look=_look, link=is_link, facts=facts, cost=cost, curl=curl_text, requirement=requirement_line,
        certainty=certainty, emulation=emulation_note, href=_href, opened=_opened, breakable=_breakable,
        strength=strength_note,
    )  # fmt: skip
    environment.filters.update(more or {})
    source = loader.get_source(environment, script)[0]
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return environment.get_template(template).render(script=source, script_hash=digest, **values)


def _safe(value: object) -> object:
    return plain(value) if type(value) is str else value


def _look(verdict: Verdict) -> Look:
    return LOOKS[verdict]


def _href(history: str) -> str:
    """A history's address relative to the page, "" where it leads out of its folder; the dot rules out a scheme."""
    path = PurePosixPath(one_line(history))
    return "" if not history or path.is_absolute() or ".." in path.parts else f"./{quote(str(path))}"


def _breakable(name: str) -> Markup:
    """A behaviour's name that a narrow column may break after the theme."""
    theme, dot, rest = plain(name).partition(".")
    return Markup("{}{}<wbr>{}").format(theme, dot, rest)


def _opened(row: Row) -> bool:
    return row.verdict is Verdict.BROKEN


def _counts(run: Run) -> list[tuple[Verdict, int]]:
    found = [each.verdict for each in run.results]
    return [(verdict, found.count(verdict)) for verdict in LOOKS if verdict in found]


def themes(run: Run) -> tuple[Theme, ...]:
    """The matrix: every behaviour that ran anywhere, by family."""
    columns = [{row.behaviour: row for row in section.rows} for section in run.sections]
    families: dict[str, list[Line]] = {}
    for name in sorted({behaviour for column in columns for behaviour in column}):
        cells = tuple(column.get(name) for column in columns)
        families.setdefault(name.partition(".")[0], []).append(Line(name, cells))
    return tuple(Theme(name, tuple(lines)) for name, lines in families.items())
