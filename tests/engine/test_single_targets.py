"""Backends of the user's behind a balancer that limpet starts: there once, so one scenario after the other has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.crew import split
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.lanes import OnlyLane
from limpet.harness.engine.leftovers import folder
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.second_look import SecondLook
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import RequirementRef, Verdict
from limpet.harness.session import Options, RunSession
from limpet.harness.targets.load import find, load

BUNDLED = "reference-round-robin"
YOURS = """
[backends]
owner = "yours"
health_checked = true
identity = {{ header = "Limpet-Backend" }}
hang = [{{ exec = ["touch", "{folder}/hung-{{backend.name}}"] }}]
revive = [{{ exec = ["touch", "{folder}/revived-{{backend.name}}"] }}]
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The bundled balancer's target, with backends that somebody else has started."""
    loaded = load(BUNDLED)
    with Lab(1, [loaded]) as lab:
        theirs = lab.deployment(loaded)
        theirs.start()
        place = tmp_path / "mine"
        place.mkdir()
        text = (find(BUNDLED) / "target.toml").read_text("utf-8")
        text = text.replace("../_shared", str(find(BUNDLED).parent / "_shared")).replace(BUNDLED, "mine")
        members = "".join(
            f'[[backends.member]]\nname = "{each.name}"\nhost = "{each.host}"\nport = {each.port}\n'
            for each in theirs.target.members
        )
        whole = text.replace("[backends]\ncount = 3\nhealth_checked = true\n", YOURS.format(folder=tmp_path) + members)
        (place / "target.toml").write_text(whole, "utf-8")
        yield place


def jobs(place: Path, *tests: object) -> list[Job]:
    loaded = load(place)
    reference = (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),)
    found = []
    for number, test in enumerate(tests):
        spec = Behaviour(f"some.row{number}", test, error_rate=0.0, budget=99, touches="backends", keyed=None)  # type: ignore[arg-type]
        found.append(Job(loaded, spec, "", reference))
    return found


def test_they_are_taken_down_by_one_scenario_at_a_time_and_brought_back(place: Path, tmp_path: Path) -> None:
    at_work: list[str] = []
    together: list[int] = []

    def scenario(s: Scenario) -> None:
        at_work.append(s.system.name)
        together.append(len(at_work))
        s.system.hang("b1", settle=False)
        assert list(folder().glob("*.json")), "whoever kills limpet now leaves a page for the next run"
        s.real_wait(0.3)  # lets others have their turn, if any could
        at_work.pop()
        s.client().visit()

    def one(s: Scenario) -> None:
        scenario(s)

    def other(s: Scenario) -> None:
        scenario(s)

    def third(s: Scenario) -> None:
        scenario(s)

    planned = jobs(place, one, other, third)
    with Lab(1, [planned[0].loaded]) as lab:
        runner = Runner(lab, planned, tmp_path / "out", lambda _event: None)
        runner.start()
        results = [runner.result(job.key) for job in planned]
    blamed = (Verdict.SETUP_FAILED, Verdict.HARNESS_ERROR)
    assert not [each.reason for each in results if each.verdict in blamed]
    assert together == [1, 1, 1]
    assert (tmp_path / "hung-b1").exists() and (tmp_path / "revived-b1").exists()
    assert not list(folder().glob("*.json"))


def test_no_two_workers_have_them(place: Path, tmp_path: Path) -> None:
    def test(_: Scenario) -> None: ...

    planned = jobs(place, test, test, test)
    assert sorted(map(len, split(planned, 2))) == [0, 3]
    with Lab(1, [planned[0].loaded]) as lab:
        (lane,) = Runner(lab, planned, tmp_path / "out", lambda _event: None)._lanes(planned)
    assert isinstance(lane, OnlyLane)
    assert not SecondLook(planned)._beside, "they were judged by themselves already"


def test_backends_at_addresses_of_their_own_are_there_once_too(place: Path) -> None:
    file = place / "target.toml"
    text = file.read_text("utf-8")
    begin, end = text.index("[backends]"), text.index("[control]")
    fixed = '[backends]\nhealth_checked = true\nmember = [{ listen = "127.0.0.1:9" }, { listen = "127.0.0.1:10" }]\n\n'
    file.write_text(text[:begin] + fixed + text[end:], "utf-8")
    target = load(place).target
    assert target.single and not target.of_yours
    assert not load(BUNDLED).target.single


def test_a_plan_for_them_is_told_and_waits_for_a_yes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    def test(_: Scenario) -> None: ...

    told = Behaviour("some.row", test, 0.0, 99, touches="backends", keyed=None, foretells=lambda *_: "kill b1")
    job = Job(load(place), told, "", ())
    session = RunSession(Options(targets=(str(place),), seed=5), [])
    settled = session.allowed(job)
    assert settled.settled is Verdict.NOT_CHECKABLE and "--yes lets it happen" in settled.reason
    assert session.foretold == ["some.row will do this to mine, whose backends limpet did not start:\nkill b1"]
    assert RunSession(Options(targets=(str(place),), seed=5, yes=True), []).allowed(job).settled is None


def test_they_cannot_be_reached_from_a_lab(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limpet.harness.network.namespaces.missing", lambda: "")
    with pytest.raises(UsageFault, match="mine runs outside of the lab, or its backends do"):
        RunSession(Options(targets=(str(place),), network="namespace"), [])
