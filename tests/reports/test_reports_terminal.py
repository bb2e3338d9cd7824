from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from limpet.harness.model.events import Event, RunFinished, RunStarted, ScenarioFinished, ScenarioStarted
from limpet.harness.model.verdict import judge_run
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


def of_one(events: list[Event], name: str = "reference-alb") -> list[Event]:
    """The same run on one of its targets alone."""
    kept: list[Event] = []
    for event in events:
        match event:
            case RunStarted():
                targets = tuple(each for each in event.targets if each.name == name)
                kept.append(msgspec.structs.replace(event, targets=targets))
            case ScenarioStarted():
                kept += [event] if event.target == name else []
            case ScenarioFinished():
                kept += [event] if event.result.target == name else []
            case RunFinished():
                results = tuple(each for each in event.results if each.target == name)
                kept.append(msgspec.structs.replace(event, results=results, judgement=judge_run(results)))
    return kept


def final(text: str) -> list[str]:
    """The lines of the last page."""
    lines = [line.rstrip() for line in text.splitlines()]
    first = min(lines.index(each) for each in ("reference balancer as ALB", "nginx, sticky cookie") if each in lines)
    return lines[first:]


def test_table_says_behaviour_verdict_and_why(events: list[Event]) -> None:
    lines = final(shown(of_one(events))) + final(shown(of_one(events, "nginx-sticky")))
    rows = [re.split(r"\s{2,}", line) for line in lines]
    assert ["✔", "affinity.holds", "held", "1497 requests, one backend"] in rows
    assert ["✘", "failover.repins-once", "broken", "moved again after the failover"] in rows
    assert ["≈", "failover.modes", "known deviation", "[hang] accepted: ticket 12 (1 of 2 variants)"] in rows
    assert ["?", "duration.expires", "inconclusive", "[idle] only 3 of 13 samples"] in rows
    assert "  · not promised: cookie.twin" in lines
    assert "held 2 of 4 promised, 1 broken, 1 known deviation, 1 observed" in lines


def test_several_targets_are_counted_by_theme_and_only_what_stands_out_is_told(events: list[Event]) -> None:
    lines = final(shown(events))
    assert "  affinity  1 held" in lines and "  cookie    1 observed" in lines
    assert not any("affinity.holds" in line or "cookie.cacheable" in line for line in lines)
    at = lines.index("  failover  1 held, 1 broken, 1 known deviation")
    assert lines[at + 1] == "    ≈ failover.modes  known deviation  [hang] accepted: ticket 12 (1 of 2 variants)"
    assert lines[at + 2] == "    ✘ failover.repins-once  broken  moved again after the failover"
    assert "  cookie      1 not promised, 1 harness error" in lines
    assert any(line.startswith("    ? duration.expires  inconclusive") for line in lines)
    assert any("-v shows all of them" in line for line in lines)
    quiet = final(shown(events, verbosity=0))
    assert "  ✘ failover.repins-once  broken  moved again after the failover" in quiet
    assert not any("1 held" in line and "promised" not in line for line in quiet)


def test_several_targets_have_their_full_tables_with_v(events: list[Event]) -> None:
    lines = final(shown(events, verbosity=2))
    assert any("affinity.holds" in line and "1497 requests" in line for line in lines)
    assert any("cookie.cacheable" in line and "observed" in line for line in lines)
    assert not any("-v shows" in line for line in lines)


def test_what_an_accusation_rests_on_is_told_with_it(events: list[Event]) -> None:
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    results = tuple(
        msgspec.structs.replace(each, detail="rests on timing.down_noticed = 4s (two checks)")
        if each.violations
        else each
        for each in finished.results
    )
    text = shown([*events[:-1], msgspec.structs.replace(finished, results=results)])
    assert "  rests on timing.down_noticed = 4s (two checks)" in final(text)


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
    quiet = final(shown(of_one(events), verbosity=0))
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
    lines = final(shown(of_one(events), 46))
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
    lines = final(text)
    assert text.index("interrupted: what follows is what was known by then") < text.index("reference balancer as ALB")
    assert "so far held 1 of 2 promised, 1 broken" in lines
    assert "nothing was run" in text
    assert isinstance(interrupted_events[-1], RunFinished)
