from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.events import Event, RunFinished, RunStarted
from limpet.reports.collection import Fanout, standard_handlers
from limpet.reports.text import encodable, one_line, plain


class Bad:
    """Fails at the first event of one type."""

    def __init__(self, at: type[Event]) -> None:
        self._at = at
        self.calls = 0
        self.closed = False

    def handle(self, event: Event) -> None:
        self.calls += 1
        if isinstance(event, self._at):
            raise ValueError("cannot draw")

    def close(self) -> None:
        self.closed = True


class Good:
    def __init__(self) -> None:
        self.seen: list[Event] = []

    def handle(self, event: Event) -> None:
        self.seen.append(event)


@pytest.mark.parametrize("at", [RunStarted, RunFinished])
def test_a_failing_report_costs_no_other(at: type[Event], events: list[Event]) -> None:
    bad, good = Bad(at), Good()
    fanout = Fanout([bad, good])
    for event in events[:-1]:
        fanout.handle(event)
    with pytest.raises(HarnessFault, match="Bad: ValueError: cannot draw") as caught:
        fanout.handle(events[-1])
    assert good.seen == events
    assert bad.calls == (1 if at is RunStarted else len(events))
    assert bad.closed
    assert caught.value.exit_code == 4
    assert "cannot draw" in fanout.failures[0].trace


def test_interrupts_are_not_swallowed(events: list[Event]) -> None:
    class Interrupted:
        def handle(self, event: Event) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fanout([Interrupted()]).handle(events[0])


def test_standard_reports_are_all_written_and_named(events: list[Event], tmp_path: Path) -> None:
    stream = io.StringIO()
    out = tmp_path / "out"
    console = Console(file=stream, width=500)
    fanout = Fanout(standard_handlers(out, junit=tmp_path / "ci" / "junit.xml", console=console))
    for event in events:
        fanout.handle(event)
    expected = [out / "conformance.json", out / "summary.md", out / "report.html", out / "allure-results",
                tmp_path / "ci" / "junit.xml"]  # fmt: skip
    assert all(path.exists() for path in expected)
    text = stream.getvalue()
    assert [line.strip() for line in text[text.index("written:") :].splitlines()[1:]] == [
        str(each) for each in expected
    ]


def test_a_report_that_could_not_be_written_is_not_named(events: list[Event], tmp_path: Path) -> None:
    stream = io.StringIO()
    out = tmp_path / "out"
    (out / "report.html").mkdir(parents=True)
    fanout = Fanout(standard_handlers(out, console=Console(file=stream, width=500)))
    with pytest.raises(HarnessFault, match="HtmlReport: IsADirectoryError"):
        for event in events:
            fanout.handle(event)
    assert (out / "conformance.json").exists() and (out / "allure-results" / "categories.json").exists()
    end = stream.getvalue()[stream.getvalue().index("written:") :]
    assert "report.html" not in end and "summary.md" in end


@given(st.text(st.characters()) | st.text(st.sampled_from("\x00\x1b\x9b\u2028\ud800\udfff\ufffe\n\t a")))
def test_cleaned_text_is_legal_everywhere(text: str) -> None:
    legal = plain(text)
    assert legal == plain(legal)
    assert all(each in "\t\n" or each.isprintable() or ord(each) >= 0xA0 for each in legal)
    assert not any(0xD800 <= ord(each) <= 0xDFFF or each in "\ufffe\uffff" for each in legal)
    assert "\n" not in one_line(text)
    encodable(text).encode("utf-8")
