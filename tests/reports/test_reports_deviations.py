"""A known deviation in every report: what happens, what is documented, the link, the reproduction, what was seen."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from limpet.harness.model.events import Event, Handler, RunFinished, RunStarted, ScenarioFinished, TargetInfo
from limpet.harness.model.verdict import Deviation, Result, Verdict, judge_run
from limpet.harness.model.violation import Kind, Violation
from limpet.reports.allure import AllureReport
from limpet.reports.conformance import ConformanceReport, load
from limpet.reports.html import HtmlReport
from limpet.reports.junit import JUnitReport
from limpet.reports.markdown import MarkdownReport
from limpet.reports.terminal import TerminalReport

TARGET = TargetInfo("toy", "Toy", "toy", "toy/sticky")
ENTRY = Deviation(
    "failover.repins-once", "it moves people twice <b>", "1.31", "https://example.org/issues/7",
    documented="once: https://example.org/manual", until="1.99", reproduction="fixtures/targets/toy/reproduce-x.sh",
    file="fixtures/targets/toy/known-deviations.toml",
)  # fmt: skip


def events(verdict: Verdict, reason: str = ENTRY.happens) -> list[Event]:
    seen = (Violation(Kind.NOT_REPINNED, "Ana was sent to b2, then to b3"),) if verdict is not Verdict.HELD else ()
    result = Result(
        target="toy", product="toy", profile="toy/sticky", behaviour="failover.repins-once", verdict=verdict,
        reason=reason, violations=seen, deviation=ENTRY,
    )  # fmt: skip
    started = RunStarted("r", 1, "0.1", "2026-11-21T09:00:00Z", (TARGET,), 1, "limpet run")
    return [started, ScenarioFinished(result), RunFinished((result,), judge_run([result]), 1.0, 0.0)]


def all_reports(tmp_path: Path, told: list[Event]) -> dict[str, str]:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    handlers: list[Handler] = [
        HtmlReport(tmp_path / "report.html"), MarkdownReport(tmp_path / "summary.md"),
        ConformanceReport(tmp_path / "conformance.json"), JUnitReport(tmp_path / "junit.xml"),
        AllureReport(tmp_path / "allure", tmp_path), TerminalReport(console, live=False),
    ]  # fmt: skip
    for event in told:
        for handler in handlers:
            handler.handle(event)
    assert isinstance(console.file, io.StringIO)
    allure = "".join(path.read_text() for path in (tmp_path / "allure").glob("*-result.json"))
    texts = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    return {**texts, "allure": allure, "terminal": " ".join(console.file.getvalue().split())}


@pytest.mark.parametrize("name", ["report.html", "summary.md", "conformance.json", "junit.xml", "allure", "terminal"])
def test_every_report_tells_the_entry_and_what_was_seen(tmp_path: Path, name: str) -> None:
    text = all_reports(tmp_path, events(Verdict.KNOWN_DEVIATION))[name].replace("\\", "")
    for part in ("known deviation", "it moves people twice", "example.org/issues/7", "reproduce-x.sh", "1.31", "1.99",
                 "once: ", "Ana was sent to b2, then to b3"):  # fmt: skip
        assert part in text, part
    if name in ("report.html", "junit.xml"):
        assert "twice &lt;b" in text and "twice <b" not in text


def test_the_file_for_machines_can_be_read_again(tmp_path: Path) -> None:
    all_reports(tmp_path, events(Verdict.KNOWN_DEVIATION))
    (result,) = load(tmp_path / "conformance.json").results
    assert result.deviation == ENTRY and result.verdict is Verdict.KNOWN_DEVIATION


def test_what_no_longer_happens_fails_wherever_ci_looks(tmp_path: Path) -> None:
    texts = all_reports(tmp_path, events(Verdict.HELD, "no longer happens: remove the entry"))
    assert json.loads(texts["conformance.json"])["exit_code"] == 1
    suite = ET.fromstring(texts["junit.xml"]).find("testsuite")
    assert suite is not None and suite.get("failures") == "1"
    case = json.loads(texts["allure"])
    assert case["status"] == "failed"
    assert case["statusDetails"]["message"].startswith("[stale deviation] no longer happens")
    categories = json.loads((tmp_path / "allure" / "categories.json").read_text())
    assert any(
        "stale deviation" in each["messageRegex"] and each["matchedStatuses"] == ["failed"] for each in categories
    )
    for name in ("terminal", "summary.md", "report.html"):
        assert "no longer happens: remove the entry" in texts[name]
