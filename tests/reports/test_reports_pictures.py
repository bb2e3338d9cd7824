"""Pictures: what a history tells is what is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from limpet.harness.model.history import Control, Note, Received, Record, Sent, encode
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.model.violation import Kind, Violation
from limpet.reports.pictures.charts import charts, first_successes, moves, share_since
from limpet.reports.pictures.files import pictures
from limpet.reports.pictures.story import story_of
from limpet.reports.pictures.timeline import timeline

T = 1000.0


def request(number: int, t: float, client: str, backend: str, *, error: str = "", status: int = 200) -> list[Record]:
    return [
        Sent(f"r{number}", T + t, client, "c1", "127.128.0.1"),
        Received(f"r{number}", T + t + 0.01, 0 if error else status, backend, error=error),
    ]


HISTORY: list[Record] = [
    *request(1, 0.0, "Ann", "b1"),
    *request(2, 0.1, "Bob <b>&", "b2"),
    Control("kill", T + 1.0, T + 5.0, "b1"),
    Control("kill", T + 1.1, T + 1.5, "b1", detail="noticed"),
    *request(3, 1.2, "Ann", "", error="timeout"),
    *request(4, 1.6, "Ann", "b2"),
    Control("impair", T + 1.7, T + 1.7, "b2", 0.2, "latency"),
    *request(5, 2.0, "Bob <b>&", "b2"),
    Control("revive", T + 3.0, T + 4.0, "b1"),
    Control("normal", T + 3.0, T + 4.0, "b1"),
    Control("add", T + 3.1, T + 3.2, "b3"),
    Control("remove", T + 3.3, T + 3.4, "b2"),
    Control("add", T + 3.6, T + 3.7, "b2"),
    Control("reload", T + 3.8, T + 3.9),
    Note(T + 3.9, "memory: 10 MiB", 0.0, "memory, MiB", 10.0),
    *request(6, 4.0, "Ann", "b3"),
]
RESULT = Result(
    target="t",
    product="p",
    profile="p/q",
    behaviour="chaos.some",
    verdict=Verdict.BROKEN,
    reason="it moved",
    violations=(Violation(Kind.MOVED, "Ann <went> elsewhere", "Ann", "r6", T + 4.0),),
    history="histories/t/chaos.some.jsonl",
    charted=True,
)


def test_a_history_becomes_dots_bands_and_marks() -> None:
    story = story_of(HISTORY)
    assert story.backends == ("b1", "b2", "b3")
    assert [(dot.backend, dot.failed) for dot in story.dots if dot.client == "Ann"] == [
        ("b1", False), ("", True), ("b2", False), ("b3", False),
    ]  # fmt: skip
    bands = {(band.what, band.backend): band for band in story.bands}
    assert set(bands) == {("kill", "b1"), ("latency 0.2", "b2"), ("remove", "b2")}
    killed = bands["kill", "b1"]
    assert (killed.begin, round(killed.known, 3), killed.end) == (1.0, 1.5, 3.0)  # known as soon as it was noticed
    assert bands["latency 0.2", "b2"].end == pytest.approx(story.span)  # never healed
    assert [(mark.what, mark.backend) for mark in story.marks] == [("add", "b3"), ("reload", "")]
    ((at, memory),) = story.measured["memory, MiB"]
    assert at == pytest.approx(3.9) and memory == 10.0


def test_the_numbers_of_the_charts() -> None:
    story = story_of(HISTORY)
    assert moves(story) == {"Ann": 2, "Bob <b>&": 0}
    ((what, seconds),) = [each for each in first_successes(story) if each[0] == "kill b1"]
    assert what == "kill b1" and seconds == pytest.approx(0.61)
    assert [share for _, share in share_since(story, "b3", 3.1, bins=1)] == [1.0]


@pytest.mark.parametrize("draw", [timeline, charts])
def test_every_picture_is_sound_xml_whatever_names_are_in_it(draw) -> None:
    root = ET.fromstring(draw(story_of(HISTORY), "a <title> & \x1b more"))
    assert root.tag.endswith("svg")
    ET.fromstring(draw(story_of([]), "nothing"))


def test_violations_are_marked_where_they_happened() -> None:
    drawn = timeline(story_of(HISTORY), "x", RESULT.violations)
    assert drawn.count("<polygon") == 1
    assert "moved: Ann &lt;went&gt; elsewhere" in drawn
    assert "<polygon" not in timeline(story_of(HISTORY), "x")


def test_pictures_are_files_beside_the_history(tmp_path: Path) -> None:
    history = tmp_path / RESULT.history
    history.parent.mkdir(parents=True)
    history.write_bytes(b"".join(map(encode, HISTORY)))
    found = pictures(RESULT, tmp_path)
    assert [each.path for each in found] == [
        "pictures/t/chaos.some-timeline.svg", "pictures/t/chaos.some-charts.svg",
    ]  # fmt: skip
    assert all((tmp_path / each.path).read_text("utf-8").startswith("<svg") for each in found)
    plain = msgspec.structs.replace(RESULT, charted=False)
    assert [each.name for each in pictures(plain, tmp_path)] == ["timeline"]  # it is broken
    assert pictures(msgspec.structs.replace(plain, verdict=Verdict.HELD), tmp_path) == ()
    assert pictures(msgspec.structs.replace(RESULT, history="../elsewhere.jsonl"), tmp_path) == ()


def test_a_history_that_cannot_be_read_costs_nothing_but_its_pictures(tmp_path: Path) -> None:
    history = tmp_path / RESULT.history
    history.parent.mkdir(parents=True)
    history.write_bytes(b"no json\nat all\n")
    assert pictures(RESULT, tmp_path) == ()
