from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from limpet.harness.model.events import Event, RunFinished
from limpet.reports.terminal import TerminalReport


class Stream(io.StringIO):
    """A text stream that claims an encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def shown(
    events: list[Event], width: int = 120, *, verbosity: int = 1, tty: bool = False, encoding: str = "utf-8",
    colour: bool = False,
) -> str:  # fmt: skip
    stream = Stream(encoding)
    console = Console(
        file=stream, width=width, force_terminal=tty, no_color=not colour, highlight=False, _environ={"TERM": "xterm"}
    )
    report = TerminalReport(console, written=lambda: [Path("/out/conformance.json")], verbosity=verbosity, live=False)
    for event in events:
        report.handle(event)
    return stream.getvalue()


def final(text: str) -> list[str]:
    """The lines of the last page."""
    lines = [line.rstrip() for line in text.splitlines()]
    return lines[lines.index("reference balancer as ALB") :]


def test_table_says_behaviour_verdict_and_why(events: list[Event]) -> None:
    lines = final(shown(events))
    rows = [re.split(r"\s{2,}", line) for line in lines]
    assert ["✔", "affinity.holds", "held", "1497 requests, one backend"] in rows
    assert ["✘", "failover.repins-once", "broken", "moved again after the failover"] in rows
    assert ["≈", "failover.modes", "known deviation", "[hang] accepted: ticket 12 (1 of 2 variants)"] in rows
    assert ["?", "duration.expires", "inconclusive", "[idle] only 3 of 13 samples"] in rows
    assert "  · not promised: cookie.twin" in lines
    assert "held 2 of 4 promised, 1 broken, 1 known deviation, 1 observed" in lines


def test_end_gives_evidence_reasons_summary_and_paths(events: list[Event]) -> None:
    lines = final(shown(events))
    assert "    | Ana: r17 answered by b3" in lines
    assert lines.count("    curl -s -b jar http://127.0.0.1:8080/") == 2
    assert "    [emerg] bad" in lines
    assert "broken: reference-alb failover.repins-once: moved again after the failover" in lines
    assert any(line.startswith("held 2 of 8 promised, 1 broken") for line in lines)
    assert "exit 1, 12.3 s (its waits add up to 40.0 s), seed 7" in lines
    assert lines[-2:] == ["written:", "  /out/conformance.json"]


def test_a_log_gets_few_progress_lines_and_every_accusation_at_once(events: list[Event]) -> None:
    text = shown(events)
    assert re.findall(r"^\[(\d+)/10\]", text, re.MULTILINE) == ["5", "10"]
    before = text[: text.index("[10/10]")]
    assert "✘ broken: reference-alb failover.repins-once" in before


def test_verbosity(events: list[Event]) -> None:
    quiet = final(shown(events, verbosity=0))
    assert "  ✔ held: affinity.holds" in quiet
    assert not any("1497 requests" in line for line in quiet)
    assert any("failover.repins-once" in line and "broken" in line for line in quiet)
    loud = final(shown(events, verbosity=2))
    assert any("failover.modes[kill]" in line and "held" in line for line in loud)
    assert any("failover.modes[hang]" in line and "known deviation" in line for line in loud)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_nothing_but_what_is_copied_is_wider_than_the_console(
    events: list[Event], hostile_events: list[Event], width: int
) -> None:
    copied = ("curl", "http", "/out", "Set-Cookie", "a=", "limpet run")
    for line in shown(events, width).splitlines() + shown(hostile_events, width).splitlines():
        assert cell_len(line) <= width or line.strip().startswith(copied), line


def test_narrow_console_keeps_names_whole(events: list[Event]) -> None:
    lines = final(shown(events, 46))
    assert "✘ failover.repins-once  broken  moved again after the failover" not in lines
    at = lines.index("✘ failover.repins-once  broken")
    assert lines[at + 1] == "    moved again after the failover"
    assert any(line.startswith("✔ affinity.holds  held  1497 requests") and line.endswith("…") for line in lines)


def test_hostile_text_cannot_drive_the_terminal(hostile_events: list[Event]) -> None:
    text = shown(hostile_events, tty=True)
    # With no colour even rich has nothing to say but bold and the like: no other sequence may come through.
    assert "\x00" not in text and "\u202e" not in text
    assert "\x1b[31m" not in text
    assert "\\x1b[31m" in text


def test_ascii_consoles_get_ascii(events: list[Event], hostile_events: list[Event]) -> None:
    text = shown(events, encoding="ascii") + shown(hostile_events, encoding="ascii", width=50)
    text.encode("ascii")
    assert "X failover.repins-once" in text.replace("X  ", "X ")


def test_colour_only_where_asked(events: list[Event]) -> None:
    assert "\x1b[" not in shown(events)
    assert "\x1b[1;31m" in shown(events, tty=True, colour=True)


def test_same_events_same_text(events: list[Event]) -> None:
    assert final(shown(events)) == final(shown(events))


def test_live_progress_shows_counts_and_what_is_in_flight_and_goes_away(events: list[Event]) -> None:
    stream = Stream()
    console = Console(file=stream, width=100, height=30, force_terminal=True, no_color=True, _environ={"TERM": "xterm"})
    ticks = iter(range(1000))
    report = TerminalReport(console, live=True, clock=lambda: float(next(ticks)))
    report.handle(events[0])
    report.handle(events[1])
    with console.capture() as captured:
        console.print(report._progress())
    assert "running 1: cookie.parser" in captured.get()
    assert "0/10" in captured.get()
    report.handle(events[2])
    with console.capture() as captured:
        console.print(report._progress())
    assert "1/10" in captured.get() and "1 harness error" in captured.get()
    assert "nothing in flight" in captured.get()
    report.handle(events[-1])
    assert report._live is None
    text = stream.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor stays hidden"
    assert text.index("exit 1, 12.3 s") > text.rindex("\x1b[?25h")


def test_interrupted_run_says_so(interrupted_events: list[Event]) -> None:
    text = shown(interrupted_events)
    assert "interrupted: what is shown is what was known by then" in text
    assert "nothing was run" in text
    assert isinstance(interrupted_events[-1], RunFinished)
