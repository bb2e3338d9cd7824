from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from limpet.harness.model.errors import UsageFault
from limpet.harness.model.events import Event, RunFinished
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.conformance import SCHEMA, ConformanceReport, json_schema, load


def written(events: list[Event], path: Path) -> Path:
    report = ConformanceReport(path)
    for event in events:
        report.handle(event)
    assert report.written == path
    return path


def test_holds_the_whole_run(events: list[Event], tmp_path: Path) -> None:
    data = json.loads(written(events, tmp_path / "out" / "conformance.json").read_bytes())
    assert data["schema"] == SCHEMA
    assert (data["run"], data["seed"], data["command"], data["limpet"]) == ("run-1", 7, "limpet run --seed 7", "0.1.0")
    assert (data["started"], data["wall"], data["waited"]) == ("2026-11-21T09:00:00Z", 12.34, 40.0)
    assert data["complete"] is True
    assert data["exit_code"] == 1
    assert data["reasons"] == ["broken: reference-alb failover.repins-once: moved again after the failover"]
    assert data["summary"].startswith("held 2 of 8 promised, 1 broken")
    alb, nginx = data["targets"]
    assert alb["contract"] == {"layer": 7, "affinity": "lb-cookie"}
    assert (alb["emulation"], nginx["emulation"]) == (True, False)
    assert (alb["product"], alb["plays"]) == ("limpet reference balancer", "AWS Application Load Balancer")
    assert (nginx["product"], nginx["plays"]) == ("nginx", "")
    assert (nginx["product"], nginx["version"], nginx["profile"]) == ("nginx", "1.31.3", "nginx/sticky-cookie")
    assert nginx["contract"] is None
    modes = next(row for row in alb["rows"] if row["behaviour"] == "failover.modes")
    assert modes["verdict"] == "known deviation"
    assert modes["variants"] == {"hang": "known deviation", "kill": "held"}


def test_writes_defaults_too(events: list[Event], tmp_path: Path) -> None:
    data = json.loads(written(events, tmp_path / "c.json").read_bytes())
    fields = {*Result.__struct_fields__, "key", "name"}
    assert {frozenset(each) for each in data["results"]} == {frozenset(fields)}
    idle = next(each for each in data["results"] if each["behaviour"] == "duration.expires")
    assert idle["key"] == "nginx-sticky/nginx/sticky-cookie/duration.expires[idle]"
    assert idle["violations"] == []
    broken = next(each for each in data["results"] if each["verdict"] == "broken")
    assert broken["violations"][0]["seen"] == "b3"
    assert [each["id"] for each in broken["requirements"]] == ["ALB-DUR-04", "ALB-DUR-05"]


def test_reads_back_what_it_wrote(events: list[Event], results: list[Result], tmp_path: Path) -> None:
    found = load(written(events, tmp_path / "c.json"))
    assert set(found.results) == set(results)
    assert {each.verdict for each in found.results} == set(Verdict)
    assert msgspec.json.decode(found.targets[0].contract) == {"layer": 7, "affinity": "lb-cookie"}


def test_order_does_not_depend_on_who_finished_first(events: list[Event], tmp_path: Path) -> None:
    first = written(events, tmp_path / "a.json").read_bytes()
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    turned = [*events[:-1], msgspec.structs.replace(finished, results=tuple(reversed(finished.results)))]
    assert written(turned, tmp_path / "b.json").read_bytes() == first
    names = [(each.target, each.name) for each in load(tmp_path / "a.json").results]
    assert names[:2] == [("reference-alb", "affinity.holds"), ("reference-alb", "cookie.cacheable")]
    assert names[-1] == ("nginx-sticky", "membership.add")


def test_an_interrupted_run_is_written_and_says_so(interrupted_events: list[Event], tmp_path: Path) -> None:
    found = load(written(interrupted_events, tmp_path / "c.json"))
    assert not found.complete
    assert len(found.results) == 2
    assert found.targets[1].rows == ()


def test_a_run_that_never_had_a_plan_is_written(events: list[Event], tmp_path: Path) -> None:
    found = load(written(events[-1:], tmp_path / "c.json"))
    assert {each.name for each in found.targets} == {"reference-alb", "nginx-sticky"}
    assert len(found.results) == 10


def test_hostile_text_survives_as_it_was(hostile_events: list[Event], tmp_path: Path) -> None:
    found = load(written(hostile_events, tmp_path / "c.json"))
    seen = found.results[0].violations[0].seen
    assert "<script>alert(1)</script>\x00\x1b[31m\u202e" in seen
    assert "\\ud800" in seen


def test_leaves_the_old_file_and_no_scrap_when_it_cannot_write(
    events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(events, tmp_path / "c.json")
    before = path.read_bytes()

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        written(events, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"schema": 99}', "newer"),
        (b"{", "no conformance report"),
        (b'{"schema": 1, "limpet": 3}', "no conformance report"),
    ],
)
def test_load_says_what_is_wrong(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(UsageFault, match=says) as caught:
        load(path)
    assert caught.value.where == str(path)


def test_load_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="No such file"):
        load(tmp_path / "none.json")


def test_schema_names_every_verdict() -> None:
    schema = json.loads(json_schema())
    assert set(schema["$defs"]["Verdict"]["enum"]) == {str(each) for each in Verdict}
    assert "exit_code" in schema["$defs"]["Conformance"]["required"]
