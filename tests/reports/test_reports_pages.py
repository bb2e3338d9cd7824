from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from limpet.harness.model.events import Event, RunFinished, RunStarted
from limpet.harness.model.verdict import Result, Verdict, judge_run
from limpet.reports import html, markdown
from limpet.reports.evidence import certainty, cost, share
from limpet.reports.run import Run, finished_run


def run_of(events: list[Event]) -> Run:
    first, last = events[0], events[-1]
    assert isinstance(first, RunStarted) and isinstance(last, RunFinished)
    return finished_run(first, last)


class Page(HTMLParser):
    """Collects tags, addresses and text, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in ("meta", "wbr", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_page_shows_every_verdict_and_the_evidence(events: list[Event]) -> None:
    page = Page(html.render(run_of(events)))
    for verdict in Verdict:
        assert str(verdict) in page.text
    assert "Ana: r17 answered by b3" in page.text
    assert "curl -s -c jar http://127.0.0.1:8080/" in page.text
    assert "ALB-DUR-04 (must): A target that fails is replaced once" in page.text
    assert "seed 7" in page.text and "limpet run --seed 7" in page.text
    assert "says nothing about AWS Application Load Balancer itself" in page.text
    assert "./histories/holds.jsonl" in page.addresses
    assert "interrupted" not in page.text


def test_links_of_the_matrix_lead_somewhere(events: list[Event]) -> None:
    page = Page(html.render(run_of(events)))
    inner = [each[1:] for each in page.addresses if each.startswith("#")]
    assert len(inner) >= 8
    assert set(inner) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_page_needs_nothing_from_elsewhere(events: list[Event]) -> None:
    text = html.render(run_of(events))
    page = Page(text)
    assert "link" not in page.tags and "img" not in page.tags
    assert "src=" not in text and "@import" not in text and "url(" not in text
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    # The policy must allow exactly the script that is there, or the page is dead.
    assert f"script-src 'sha256-{digest}'" in text


def test_hostile_text_stays_text_on_the_page(hostile_events: list[Event]) -> None:
    page = Page(html.render(run_of(hostile_events)))
    assert page.tags.count("script") == 1
    assert page.handlers == []
    assert [each for each in page.addresses if not each.startswith("#")] == []
    assert "a=<script>alert(1)</script>\\x00\\x1b[31m\\u202e" in page.text
    html.render(run_of(hostile_events)).encode("utf-8")


def test_page_is_the_same_for_the_same_run(events: list[Event]) -> None:
    assert html.render(run_of(events)) == html.render(run_of(events))


def test_page_of_an_interrupted_run(interrupted_events: list[Event], tmp_path: Path) -> None:
    report = html.HtmlReport(tmp_path / "report.html")
    for event in interrupted_events:
        report.handle(event)
    page = Page((tmp_path / "report.html").read_text())
    assert "The run was interrupted" in page.text
    assert "Nothing was run." in page.text


def test_summary_has_a_table_for_each_target(events: list[Event]) -> None:
    text = markdown.render(run_of(events))
    assert "## reference balancer as ALB" in text and "## nginx, sticky cookie" in text
    assert "| failover.repins-once | ✘ broken | moved again after the failover |" in text
    assert r"| failover.modes | ≈ known deviation | \[hang\] accepted: ticket 12 (1 of 2 variants) |" in text
    assert "Not promised: cookie.twin." in text
    assert text.count("curl -s -b jar http://127.0.0.1:8080/\n") == 2
    assert "<https://docs.example.com/alb/sticky>" in text
    assert "```sh\nlimpet run --seed 7\n```" in text


def test_hostile_text_stays_text_in_the_summary(hostile_events: list[Event]) -> None:
    text = markdown.render(run_of(hostile_events))
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    assert "<script" not in outside.replace(r"\<script", "")
    assert not re.search(r"(?<!\\)\]\(javascript", outside)
    rows = [line for line in text.splitlines() if line.startswith("| cookie.opaque")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4
    assert "\x1b" not in text and "\x00" not in text


def test_a_broken_should_is_told_apart(results: list[Result]) -> None:
    held = next(each for each in results if each.behaviour == "affinity.holds")
    broken = msgspec.structs.replace(held, verdict=Verdict.BROKEN)
    finished = RunFinished((broken,), judge_run([broken]), 1.0, 0.0)
    run = finished_run(None, finished)
    note = "No must stands behind this: it fails only a strict run."
    assert note in Page(html.render(run)).text
    assert note in markdown.render(run)
    must = msgspec.structs.replace(results[1], violations=())
    assert must.verdict is Verdict.BROKEN
    assert note not in markdown.render(finished_run(None, msgspec.structs.replace(finished, results=(must,))))


def test_what_a_check_states_of_itself_is_in_the_page() -> None:
    result = Result(
        target="t", product="p", profile="p/q", behaviour="affinity.holds", verdict=Verdict.HELD, reason="so it is",
        requests=88, decided=75, error_rate=0.0, budget=180, sees=0.04, smallest_visible=0.0391, certainty="and more",
    )  # fmt: skip
    assert cost(result).startswith("88 of at most 180 requests, 75 decisive")
    looked = msgspec.structs.replace(result, requests=288, elsewhere=200)
    assert cost(looked).startswith("88 of at most 180 requests and 200 to find users of each backend, 75 decisive")
    said = certainty(result)
    assert "false accusation is 0: no luck is involved" in said and "Faults in 4 % of what was decided" in said
    assert said.endswith("And more")
    group = msgspec.structs.replace(result, error_rate=1e-6, smallest_visible=None)
    assert "is at most 1e-06" in certainty(group) and "Made to see faults in 4 %" in certainty(group)
    silent = msgspec.structs.replace(result, error_rate=None, budget=None, sees=None, smallest_visible=None)
    assert certainty(silent) == "And more" and cost(silent).startswith("88 requests,")


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.0391, "4 %"), (0.0381, "3.9 %"), (0.5, "50 %"), (0.123, "13 %"), (0.0012, "0.12 %"), (0.07, "7 %")],
)
def test_a_share_is_never_said_smaller_than_it_is(rate: float, words: str) -> None:
    assert share(rate) == words
