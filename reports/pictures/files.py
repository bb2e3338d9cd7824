"""The pictures of a result as files beside its history, drawn when the first report asks for them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from limpet.harness.model.history import Record, read
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.pictures.charts import charts
from limpet.reports.pictures.story import Story, story_of
from limpet.reports.pictures.timeline import timeline
from limpet.reports.text import one_line, write_atomically

MIME = "image/svg+xml"
FOLDER = "pictures"


class Picture(msgspec.Struct, frozen=True):
    """One picture: what it is called, and its file relative to the run's output folder."""

    name: str
    path: str


def pictures(result: Result, out: Path) -> tuple[Picture, ...]:
    """What there is to see of a result: of what moves users about, and of what is broken while something was done.

    A history that cannot be read has no pictures; it is its own report's business to say so.

    Args:
        result: whose history is drawn.
        out: the run's output folder.

    Raises:
        OSError: a picture cannot be written.
    """
    if not result.history or not (result.charted or result.verdict is Verdict.BROKEN):
        return ()
    source = (out / result.history).resolve()
    if not source.is_relative_to(out.resolve()) or not source.is_file():
        return ()
    place = PurePosixPath(FOLDER, *PurePosixPath(result.history).with_suffix("").parts[1:])
    wanted = ["timeline", "charts"] if result.charted else ["timeline"]
    found = [Picture(name, f"{place}-{name}.svg") for name in wanted]
    missing = [each for each in found if not (out / each.path).exists()]
    if missing:
        story = _read(source)
        if story is None or not story.dots or not (result.charted or story.bands or story.marks):
            return ()
        for each in missing:
            write_atomically(out / each.path, _drawn(each.name, story, result).encode())
    return tuple(found)


def _read(source: Path) -> Story | None:
    try:
        with source.open("rb") as lines:
            records: list[Record] = list(read(lines))
    except (OSError, msgspec.DecodeError):
        return None
    return story_of(records)


def _drawn(name: str, story: Story, result: Result) -> str:
    title = one_line(f"{result.name} on {result.target}: {result.verdict}")
    return timeline(story, title, result.violations) if name == "timeline" else charts(story, title)
