from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from limpet.harness.model.events import Event
from limpet.reports.junit import JUnitReport


def parsed(events: list[Event], path: Path) -> ET.Element:
    report = JUnitReport(path)
    for event in events:
        report.handle(event)
    return ET.parse(path).getroot()


def case(root: ET.Element, name: str) -> ET.Element:
    found = root.find(f".//testcase[@name='{name}']")
    assert found is not None
    return found


def test_each_verdict_has_its_element(events: list[Event], tmp_path: Path) -> None:
    root = parsed(events, tmp_path / "j.xml")
    outcomes = {
        each.get("name"): [child.tag for child in each if child.tag in ("failure", "error", "skipped")]
        for each in root.iter("testcase")
    }
    assert outcomes == {
        "affinity.holds": [],
        "cookie.cacheable": [],
        "failover.modes[kill]": [],
        "failover.modes[hang]": ["skipped"],
        "failover.repins-once": ["failure"],
        "duration.expires[idle]": ["error"],
        "membership.add": ["error"],
        "cookie.parser": ["error"],
        "cookie.twin": ["skipped"],
        "duration.clock-skew": ["skipped"],
    }


def test_one_suite_a_target_with_right_counts(events: list[Event], tmp_path: Path) -> None:
    root = parsed(events, tmp_path / "j.xml")
    suites = [(each.get("name"), each.get("tests"), each.get("failures"), each.get("errors"), each.get("skipped"))
              for each in root.findall("testsuite")]  # fmt: skip
    assert suites == [("reference balancer as ALB", "5", "1", "0", "1"), ("nginx, sticky cookie", "5", "0", "3", "2")]
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("10", "1", "3", "3")
    properties = {each.get("name"): each.get("value") for each in root.findall("testsuite/properties/property")}
    assert properties["version"] == "1.31.3"
    assert properties["seed"] == "7"


def test_a_failure_carries_requirements_evidence_and_curl(events: list[Event], tmp_path: Path) -> None:
    broken = case(parsed(events, tmp_path / "j.xml"), "failover.repins-once")
    ids = [each.get("value") for each in broken.findall("properties/property[@name='requirement']")]
    assert ids == ["ALB-DUR-04", "ALB-DUR-05"]
    failure = broken.find("failure")
    assert failure is not None and failure.text is not None
    assert failure.get("message") == "[broken] moved again after the failover"
    assert failure.get("type") == "not-repinned"
    assert "Ana: r17 answered by b3" in failure.text
    # The same request twice is the reproduction; neither line may be lost.
    assert failure.text.count("curl -s -b jar http://127.0.0.1:8080/") == 2
    assert broken.get("classname") == "reference-alb.failover"


def test_hostile_text_is_legal_xml_and_stays_text(hostile_events: list[Event], tmp_path: Path) -> None:
    root = parsed(hostile_events, tmp_path / "j.xml")
    assert {each.tag for each in root.iter()} == {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out",
    }  # fmt: skip
    failure = root.find(".//failure")
    assert failure is not None and failure.text is not None
    assert "a=<script>alert(1)</script>\\x00\\x1b[31m\\u202e]]>\\ud800|" in failure.text
    assert "\\ufffe" in failure.text
