"""What limpet does to balancers that it did not start: told before, only after a yes, and undone whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from limpet.harness.containers.labels import this_process
from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.leftovers import Left, folder, heal_leftovers, of_the_dead
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.verdict import Verdict
from limpet.harness.session import Options, RunSession
from limpet.harness.targets.load import load

TARGET = """
name = "mine"
profile = "reference/lb-cookie-idle"

[endpoint]
url = "http://{host}:{port}"

[backends]
owner = "yours"
identity = {{ header = "Limpet-Backend" }}
kill = [{{ exec = ["touch", "{folder}/killed-{{backend.name}}"] }}]
hang = [{{ exec = ["touch", "{folder}/hung-{{backend.name}}"] }}]
revive = [{{ exec = ["{revive}", "{folder}/revived-{{backend.name}}"] }}]

[[backends.member]]
name = "one"
host = "127.0.0.1"
port = 1

[[backends.member]]
name = "two"
host = "127.0.0.1"
port = 2
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "state"


@pytest.fixture
def balancer() -> Iterator[tuple[str, int]]:
    """One that somebody else started."""
    loaded = load("reference-lb-cookie-idle")
    with Lab(1, [loaded]) as lab:
        deployment = lab.deployment(loaded)
        deployment.start()
        yield deployment.target.host, deployment.target.port


def target(tmp_path: Path, where: tuple[str, int], revive: str = "touch") -> Path:
    place = tmp_path / "mine"
    place.mkdir(exist_ok=True)
    text = TARGET.format(host=where[0], port=where[1], folder=tmp_path, revive=revive)
    (place / "target.toml").write_text(text, "utf-8")
    return place


def chaos(session: RunSession) -> list[tuple[Verdict | None, str]]:
    (steady,) = [each for each in behaviours((SUITES,)) if each.id == "chaos.steady-state"]
    return [(job.settled, job.reason) for job in session.jobs_of(steady)]


def test_a_plan_of_faults_is_told_and_waits_for_a_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(target(tmp_path, ("127.0.0.1", 9)))
    asked = RunSession(Options(targets=(place,), seed=5), [])
    ((verdict, reason),) = chaos(asked)
    assert verdict is Verdict.NOT_CHECKABLE
    assert "--yes" in reason
    (told,) = asked.foretold
    assert "mine, which limpet did not start" in told
    assert "kill" in told or "hang" in told
    assert "healed by revive" in told
    allowed = RunSession(Options(targets=(place,), seed=5, yes=True), [])
    assert chaos(allowed) == [(None, "")]
    assert allowed.foretold == asked.foretold
    monkeypatch.setenv("CI", "true")
    assert chaos(RunSession(Options(targets=(place,), seed=5), [])) == [(None, "")]


def test_nobody_is_asked_about_what_limpet_starts_itself() -> None:
    session = RunSession(Options(targets=("reference-lb-cookie-idle",), seed=5), [])
    assert chaos(session) == [(None, "")]
    assert not session.foretold


def test_lengthy_rows_run_where_something_is_named() -> None:
    assert chaos(RunSession(Options(), [])) == []
    assert chaos(RunSession(Options(all_targets=True), [])) == []
    assert chaos(RunSession(Options(targets=("reference-lb-cookie-idle",), survey=True), [])) == []
    assert chaos(RunSession(Options(behaviours=("chaos.*",)), []))
    assert chaos(RunSession(Options(targets=("reference-lb-cookie-idle",)), []))


def test_what_is_done_is_on_a_page_until_it_is_healed(tmp_path: Path, balancer: tuple[str, int]) -> None:
    loaded = load(target(tmp_path, balancer))
    with Lab(1, [loaded]) as lab:
        deployment = lab.deployment(loaded)
        deployment.start()
        deployment.kill("one", settle=False)
        (page,) = folder().glob("*.json")
        left = msgspec.json.decode(page.read_bytes(), type=Left)
        assert (left.down, left.directory) == (["one"], str(loaded.directory))
        assert of_the_dead() == []  # this process lives
        deployment.heal()
        assert not list(folder().glob("*.json"))
        assert (tmp_path / "revived-one").exists()


def died(loaded_from: Path) -> Path:
    """The page of a process that was killed while two was down."""
    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    mine = this_process()
    page = Left(str(mine).replace(str(mine.pid), str(gone)), "mine", str(loaded_from), down=["two"], by_hand="ssh two")
    folder().mkdir(parents=True)
    file = folder() / "dead.json"
    file.write_bytes(msgspec.json.encode(page))
    return file


def test_the_next_run_heals_what_a_killed_one_has_left(tmp_path: Path, balancer: tuple[str, int]) -> None:
    file = died(target(tmp_path, balancer))
    (said,) = list(heal_leftovers())
    assert "two healed" in said
    assert (tmp_path / "revived-two").exists()
    assert not file.exists()
    assert list(heal_leftovers()) == []


def test_what_cannot_be_healed_is_said_with_the_command(tmp_path: Path, balancer: tuple[str, int]) -> None:
    file = died(target(tmp_path, balancer, revive="false"))
    with pytest.raises(SetupFault) as caught:
        list(heal_leftovers())
    assert "by hand: ssh two" in str(caught.value)
    assert file.exists()
