from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from limpet.harness.model.events import Event, RunFinished, ScenarioFinished
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.allure import AllureReport
from limpet.reports.allure_mapping import STATUS, allure_case, environment, message

Found = dict[str, dict[str, Any]]


def written(events: list[Event], out: Path, *, end: float = 1000.0) -> Found:
    report = AllureReport(out / "allure-results", out, clock=lambda: end)
    for event in events:
        report.handle(event)
    return read(out / "allure-results")


def read(directory: Path) -> Found:
    items = [json.loads(path.read_text()) for path in directory.glob("*-result.json")]
    return {item["name"]: item for item in items}


def labels(item: dict[str, Any], name: str) -> list[str]:
    return [each["value"] for each in item["labels"] if each["name"] == name]


def with_history(out: Path) -> None:
    (out / "histories").mkdir()
    (out / "histories" / "holds.jsonl").write_text('{"type":"note","t":1.0,"text":"x"}\n')


def test_each_verdict_has_its_status(events: list[Event], tmp_path: Path) -> None:
    found = written(events, tmp_path)
    assert {name: item["status"] for name, item in found.items()} == {
        "affinity.holds": "passed",
        "cookie.cacheable": "passed",
        "failover.modes[kill]": "passed",
        "failover.modes[hang]": "skipped",
        "failover.repins-once": "failed",
        "duration.expires[idle]": "broken",
        "membership.add": "broken",
        "cookie.parser": "broken",
        "cookie.twin": "skipped",
        "duration.clock-skew": "skipped",
    }


def test_every_verdict_that_does_not_pass_has_one_category(results: list[Result], tmp_path: Path) -> None:
    written([RunFinished((), judgement=_judgement(), wall=0, waited=0)], tmp_path)
    categories = json.loads((tmp_path / "allure-results" / "categories.json").read_text())
    matched = {}
    for result in results:
        for prefix in ("", "limpet.plugin.Inconclusive: "):
            text = f"{prefix}{message(result)}\nover two lines"
            names = [
                each["name"]
                for each in categories
                if re.fullmatch(each["messageRegex"], text) and STATUS[result.verdict] in each["matchedStatuses"]
            ]
            assert len(names) == (0 if STATUS[result.verdict] == "passed" else 1), (result.verdict, names)
            if names:
                matched[result.verdict] = names[0]
    assert len(set(matched.values())) == 7


def _judgement() -> Any:
    from limpet.harness.model.verdict import judge_run

    return judge_run([])


def test_words_of_a_broken_result(events: list[Event], tmp_path: Path) -> None:
    item = written(events, tmp_path)["failover.repins-once"]
    assert item["statusDetails"]["message"] == "[broken] moved again after the failover"
    assert "Ana: r17 answered by b3" in item["statusDetails"]["trace"]
    assert item["statusDetails"]["trace"].count("curl -s -b jar") == 2
    assert labels(item, "parentSuite") == ["reference balancer as ALB"]
    assert labels(item, "suite") == ["failover"]
    assert labels(item, "subSuite") == ["failover.repins-once"]
    assert labels(item, "epic") == ["limpet reference balancer"]
    assert labels(item, "feature") == ["aws-alb/duration-cookie"]
    assert labels(item, "severity") == ["critical"]
    assert labels(item, "tag") == ["ALB-DUR-04", "ALB-DUR-05", "emulation"]
    # One page proves both; a path in docs/ is no link.
    assert item["links"] == [
        {"type": "link", "url": "https://docs.example.com/alb/sticky", "name": "ALB-DUR-04, ALB-DUR-05"}
    ]
    assert "see docs/design.md" in item["description"]
    assert "says nothing about AWS Application Load Balancer itself" in item["description"]
    names = {each["name"]: each["source"] for each in item["attachments"]}
    assert set(names) == {"violations", "reproduction by curl"}
    curl = (tmp_path / "allure-results" / names["reproduction by curl"]).read_text()
    assert curl.splitlines()[0] == "curl -s -c jar http://127.0.0.1:8080/"


def test_severity_follows_the_strongest_level(events: list[Event], tmp_path: Path) -> None:
    found = written(events, tmp_path)
    assert labels(found["affinity.holds"], "severity") == ["normal"]
    assert labels(found["cookie.cacheable"], "severity") == ["trivial"]


def test_steps_history_and_parameters(events: list[Event], tmp_path: Path) -> None:
    with_history(tmp_path)
    item = written(events, tmp_path)["affinity.holds"]
    assert (item["start"], item["stop"]) == (998750, 1000000)
    assert [(each["name"], each["start"], each["stop"]) for each in item["steps"]] == [
        ("+0.00 s: Ana sends 1500 requests", 998750, 999750),
        ("+1.00 s: compare", 999750, 1000000),
    ]
    attachment = next(each for each in item["attachments"] if each["name"] == "history")
    copied = tmp_path / "allure-results" / attachment["source"]
    assert copied.read_bytes() == (tmp_path / "histories" / "holds.jsonl").read_bytes()
    seed = next(each for each in item["parameters"] if each["name"] == "seed")
    assert (seed["value"], seed["excluded"]) == ("7", True)


def test_packets_are_attached_where_there_are_any(events: list[Event], tmp_path: Path) -> None:
    (tmp_path / "histories").mkdir()
    (tmp_path / "histories" / "repins.pcap").write_bytes(b"packets")
    end = events[-1]
    assert isinstance(end, RunFinished)
    with_them = tuple(
        msgspec.structs.replace(each, packets="histories/repins.pcap" * (each.verdict is Verdict.BROKEN))
        for each in end.results
    )
    ended = msgspec.structs.replace(end, results=with_them)
    found = written([events[0], *map(ScenarioFinished, with_them), ended], tmp_path)
    (attachment,) = (each for each in found["failover.repins-once"]["attachments"] if each["name"] == "packets")
    assert (tmp_path / "allure-results" / attachment["source"]).read_bytes() == b"packets"
    assert attachment["type"] == "application/vnd.tcpdump.pcap"
    del found["failover.repins-once"]
    assert "packets" not in [each["name"] for item in found.values() for each in item.get("attachments", [])]


def test_history_ids_are_unique_and_the_same_in_every_run(events: list[Event], tmp_path: Path) -> None:
    first = written(events, tmp_path / "a")
    later = [msgspec.structs.replace(events[0], run="run-2", seed=8), *events[1:]]
    second = written(later, tmp_path / "b")
    ids = {name: item["historyId"] for name, item in first.items()}
    assert len(set(ids.values())) == len(ids) == 10
    assert ids == {name: item["historyId"] for name, item in second.items()}
    assert len({item["fullName"] for item in first.values()}) == 10
    assert first["affinity.holds"]["uuid"] != second["affinity.holds"]["uuid"]


def test_a_second_run_replaces_the_first_and_leaves_strange_files(events: list[Event], tmp_path: Path) -> None:
    written(events, tmp_path)
    (tmp_path / "allure-results" / "mine.txt").write_text("keep")
    assert len(written(events, tmp_path)) == 10
    assert len(list((tmp_path / "allure-results").glob("*-result.json"))) == 10
    assert (tmp_path / "allure-results" / "mine.txt").read_text() == "keep"


def test_hostile_text(hostile_events: list[Event], tmp_path: Path) -> None:
    (item,) = written(hostile_events, tmp_path).values()
    assert "links" not in item
    assert "<script" not in item["description"].replace("\\<script", "")
    # The history's path led out of the run's folder.
    assert "history" not in [each["name"] for each in item["attachments"]]
    assert "\x1b" not in json.dumps(item, ensure_ascii=False)


def test_environment_is_java_properties() -> None:
    text = environment([("target a:b", "käse \\ 😀\nx=1")]).decode("ascii")
    assert text == "target\\ a\\:b=k\\u00e4se \\\\ \\ud83d\\ude00 x=1\n"


def test_passed_words_stay_out_of_the_categories(results: list[Result]) -> None:
    held = next(each for each in results if each.verdict is Verdict.HELD)
    assert allure_case(held).message.startswith("[held] ")


SUITE = """
import importlib.util, sys
from pathlib import Path
import pytest
from limpet.reports.allure import annotate
spec = importlib.util.spec_from_file_location("samples", {samples!r})
samples = importlib.util.module_from_spec(spec); spec.loader.exec_module(samples)

class Undecided(Exception): pass

@pytest.mark.parametrize("result", samples.nine(), ids=lambda each: each.key)
def test_behaviour(result):
    target = {{each.name: each for each in (samples.ALB, samples.NGINX)}}[result.target]
    case = annotate(result, target=target, out=Path({out!r}), seed=7)
    if case.status == "failed": pytest.fail(case.message, pytrace=False)
    if case.status == "skipped": pytest.skip(case.message)
    if case.status == "broken": raise Undecided(case.message)
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    """The results that allure-pytest writes for the same verdicts."""
    out = tmp_path_factory.mktemp("pytest")
    with_history(out)
    test = out / "test_sample.py"
    test.write_text(SUITE.format(samples=str(Path(__file__).with_name("conftest.py")), out=str(out)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--alluredir", str(out / "allure")]
    done = subprocess.run(
        [*command, f"--rootdir={out}", "-c", "/dev/null", str(test)],
        capture_output=True, text=True, timeout=60, check=False, cwd=out,
    )  # fmt: skip
    assert "4 failed, 3 passed, 3 skipped" in done.stdout, done.stdout + done.stderr
    return out, read(out / "allure")


def test_plain_pytest_says_the_same(both: tuple[Path, Found], events: list[Event], tmp_path: Path) -> None:
    with_history(tmp_path)
    ours = written(events, tmp_path)
    _, theirs = both
    assert set(theirs) == set(ours)
    for name, item in ours.items():
        other = theirs[name]
        assert other["status"] == item["status"], name
        assert other["description"] == item["description"]
        assert other.get("links", []) == item.get("links", [])
        assert [each["name"] for each in other.get("steps", [])] == [each["name"] for each in item.get("steps", [])]
        assert {(each["name"], each["type"]) for each in other.get("attachments", [])} == {
            (each["name"], each["type"]) for each in item.get("attachments", [])
        }
        for kind in ("parentSuite", "suite", "subSuite", "epic", "feature", "story", "severity", "tag"):
            assert labels(other, kind) == labels(item, kind), (name, kind)
        if item["status"] != "passed":
            assert item["statusDetails"]["message"] in other["statusDetails"]["message"]


def test_plain_pytest_keeps_results_apart_and_its_categories_match(both: tuple[Path, Found]) -> None:
    _, found = both
    assert len({item["historyId"] for item in found.values()}) == 10
    for item in found.values():
        seed = next(each for each in item["parameters"] if each["name"] == "seed")
        assert seed["excluded"] is True
    inconclusive = found["duration.expires[idle]"]["statusDetails"]["message"]
    assert re.match(r"^(?:[\w.]+: )?\[inconclusive\]", inconclusive)
