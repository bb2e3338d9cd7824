"""What limpet does to balancers that it did not start: told before, only after a yes, and undone whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import playing
import pytest

from limpet.harness.chaos.plan import printed
from limpet.harness.chaos.proxies.wires import PROGRAM
from limpet.harness.chaos.random_walk import foretold_walks, random_walk
from limpet.harness.chaos.theatre import Performance, Theatre
from limpet.harness.chaos.walk import Step, printed_walk
from limpet.harness.cli.main import main
from limpet.harness.containers.labels import this_process
from limpet.harness.engine import lanes
from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.judging import result_of
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.leftovers import Left, folder, heal_leftovers, of_the_dead
from limpet.harness.engine.plan import Job, requirements_of
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.verdict import ExitCode, Result, Verdict
from limpet.harness.session import Options, RunSession
from limpet.harness.targets.load import load
from limpet.reports.conformance import load as load_conformance

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


OURS = """
name = "theirs"
profile = "reference/lb-cookie-idle"

[endpoint]
url = "http://127.0.0.1:9"

[[backends.member]]
name = "one"
listen = "127.0.0.1:9001"

[[backends.member]]
name = "two"
listen = "127.0.0.1:9002"

[[backends.member]]
name = "three"
listen = "127.0.0.1:9003"
"""
"""A balancer that runs already, before backends that limpet starts."""

WALK = """limpet-walk = 1
target = "reference-lb-cookie-idle"
affinity = "lb-cookie"
violation = "moved"
step = [
    { do = "visit", users = [1] },
    { do = "kill", backend = "of 1" },
    { do = "visit", users = [1] },
]
"""


def target(tmp_path: Path, where: tuple[str, int], revive: str = "touch") -> Path:
    place = tmp_path / "mine"
    place.mkdir(exist_ok=True)
    text = TARGET.format(host=where[0], port=where[1], folder=tmp_path, revive=revive)
    (place / "target.toml").write_text(text, "utf-8")
    return place


def chaos(session: RunSession, row: str = "chaos.steady-state") -> list[tuple[Verdict | None, str]]:
    (behaviour,) = [each for each in behaviours((SUITES,)) if each.id == row]
    return [(job.settled, job.reason) for job in session.jobs_of(behaviour)]


def theirs(tmp_path: Path) -> Path:
    place = tmp_path / "theirs"
    place.mkdir()
    (place / "target.toml").write_text(OURS, "utf-8")
    return place


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
    monkeypatch.setenv("CI", "false")  # somebody who says that this is no such thing is asked
    assert chaos(RunSession(Options(targets=(place,), seed=5), []))[0][0] is Verdict.NOT_CHECKABLE
    monkeypatch.setenv("CI", "true")
    assert chaos(RunSession(Options(targets=(place,), seed=5), [])) == [(None, "")]


def test_walks_are_told_too_and_wait_for_a_yes(tmp_path: Path) -> None:
    place = theirs(tmp_path)
    asked = RunSession(Options(targets=(str(place),), seed=5), [])
    ((verdict, reason),) = chaos(asked, "chaos.random-walk")
    assert verdict is Verdict.NOT_CHECKABLE
    assert "--yes" in reason
    (told,) = asked.foretold
    assert "theirs, which limpet did not start" in told
    assert "walk 1: " in told and "kill of 1" in told and "healed by revive" in told
    allowed = RunSession(Options(targets=(str(place),), seed=5, yes=True), [])
    assert chaos(allowed, "chaos.random-walk") == [(None, "")]
    assert allowed.foretold == asked.foretold


def test_what_is_told_of_walks_is_what_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []
    told: list[str] = []

    def play(_self: Theatre, steps: Sequence[Step]) -> Performance:
        played.append(printed_walk(steps))
        return Performance(tuple(steps), (), (), 1, 1, (), 0.0, -1)

    monkeypatch.setattr(Theatre, "play", play)

    def test(s: Scenario) -> None:
        told.extend(foretold_walks(s.system.loaded, s.plan_seed).splitlines())
        random_walk(s)

    playing.play(tmp_path, test)
    assert len(played) > 1
    assert played == [line.partition(": ")[2] for line in told[: len(played)]]


def test_what_is_told_of_a_soak_is_all_that_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    told: list[str] = []
    (soak,) = [each for each in behaviours((SUITES,)) if each.id == "chaos.soak"]
    suite, duration = soak.test.__globals__, 6.0
    monkeypatch.setitem(suite, "USERS", 1)
    monkeypatch.setitem(suite, "perform", lambda plan, *_: done.append(printed(plan)))
    monkeypatch.setattr(Scenario, "real_wait", lambda *_: None)  # shifts as short as they cannot be
    monkeypatch.setitem(suite, "NEW", 3)
    loaded = load("reference-lb-cookie-idle")

    def test(s: Scenario) -> None:
        assert soak.foretells is not None
        told.append(soak.foretells(s.system.loaded, s.plan_seed, duration))
        soak.test(s)

    job = Job(loaded, replace(soak, test=test, wired=False), "", requirements_of(loaded, soak.id))
    with Lab(1, [loaded], soak=duration) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        runner.result(job.key)
    assert done, "a soak without a round of faults is none"
    rounds = "\n".join(f"shift {number}:\n{plan}" for number, plan in enumerate(done, 1))
    assert told[0].startswith(rounds), "a slow machine may come to fewer rounds, and none to more"


def test_a_replay_is_told_and_waits_for_a_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk = tmp_path / "walk.toml"
    walk.write_text(WALK)
    place = theirs(tmp_path)
    assert main(["replay", str(walk), "--target", str(place), "--out", str(tmp_path / "out")]) == ExitCode.UNDECIDED
    said = capsys.readouterr()
    assert "kill of 1" in said.err
    assert "--yes lets it happen" in " ".join(said.out.split())


def test_nobody_is_asked_about_what_limpet_starts_itself() -> None:
    session = RunSession(Options(targets=("reference-lb-cookie-idle",), seed=5), [])
    assert chaos(session) == [(None, "")]
    assert chaos(session, "chaos.random-walk") == [(None, "")]
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


def test_clean_heals_it_too_and_fails_where_it_cannot(
    tmp_path: Path, balancer: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    died(target(tmp_path, balancer, revive="false"))
    assert main(["clean"]) == ExitCode.SETUP
    said = capsys.readouterr()
    assert "by hand: ssh two" in said.err and "ssh two" not in said.out
    target(tmp_path, balancer)
    assert main(["clean"]) == ExitCode.HELD
    assert "cleaned: mine: two healed" in capsys.readouterr().out
    assert (tmp_path / "revived-two").exists()


def test_what_cannot_be_healed_stops_runs_on_that_target_and_no_others(
    tmp_path: Path, balancer: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = target(tmp_path, balancer, revive="false")
    file = died(mine)
    words = ["run", "--behaviour", "affinity.off", "--out", str(tmp_path / "out"), "--target"]
    assert main([*words, "reference-round-robin"]) == ExitCode.HELD
    assert "by hand: ssh two" in capsys.readouterr().err, "and it is said all the same"
    assert main([*words, str(mine)]) == ExitCode.SETUP
    assert "by hand: ssh two" in capsys.readouterr().err
    (mine / "target.toml").unlink()  # a target that is gone cannot be healed ever
    assert main([*words, "reference-round-robin"]) == ExitCode.HELD
    assert str(file.parent) in capsys.readouterr().err, "where the page is that keeps saying so"


CONTROL = """
[control]
apply = [{{ exec = ["sh", "-c", "test ! -e {folder}/broken"] }}]
covers = ["affinity"]
"""


def test_a_pool_that_could_not_be_restored_is_said_and_owed(tmp_path: Path, balancer: tuple[str, int]) -> None:
    place = target(tmp_path, balancer)
    file = place / "target.toml"
    file.write_text(file.read_text("utf-8") + CONTROL.format(folder=tmp_path), "utf-8")
    loaded = load(place)
    with Lab(1, [loaded]) as lab:
        deployment = lab.deployment(loaded)
        deployment.start()
        deployment.affinity(False)
        (tmp_path / "broken").touch()
        for _ in range(2):  # a second look does not take it for healed
            with pytest.raises(SetupFault, match="members are not one, two") as caught:
                deployment.heal()
            assert f"By hand: sh -c 'test ! -e {tmp_path}/broken'" in str(caught.value)
            assert list(folder().glob("*.json"))
        (tmp_path / "broken").unlink()
        deployment.heal()
        assert not list(folder().glob("*.json"))


@pytest.mark.parametrize(("seen", "said"), [("held", Verdict.SETUP_FAILED), ("broken", Verdict.BROKEN)])
def test_a_row_that_left_something_broken_is_a_set_up_that_failed(
    tmp_path: Path,
    balancer: tuple[str, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    seen: str,
    said: Verdict,
) -> None:
    monkeypatch.setattr(lanes, "verify", lambda *_: None)  # its backends are called otherwise, which is nobody's matter
    loaded = load(target(tmp_path, balancer, revive="false"))
    (steady,) = [each for each in behaviours((SUITES,)) if each.id == "chaos.steady-state"]
    job = Job(loaded, steady, "", ())
    found: list[Result] = []

    def runs(job: Job, deployment: Deployment) -> Result:
        deployment.kill("one", settle=False)
        return result_of(job, Verdict(seen), "as it was seen")

    with Lab(1, [loaded]) as lab:
        lanes.OnlyLane([job], lab, runs, found.append).run()
    (result,) = found
    assert result.verdict is said
    by_hand = f"By hand: false {tmp_path}/revived-one"
    assert by_hand in capsys.readouterr().err
    assert said is Verdict.BROKEN or by_hand in result.reason


def test_without_toxiproxy_the_rows_that_want_it_are_not_checkable_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, str(tmp_path / "none"))
    words = ["run", "--target", "reference-header", "--proxies", "toxiproxy", "--out", str(tmp_path / "out")]
    words += ["--behaviour", "chaos.steady-state", "--behaviour", "affinity.first-requests-race"]
    assert main(words) == ExitCode.HELD
    results = {each.behaviour: each for each in load_conformance(tmp_path / "out" / "conformance.json").results}
    assert results["chaos.steady-state"].verdict is Verdict.NOT_CHECKABLE
    assert "--proxies embedded" in results["chaos.steady-state"].reason
    assert results["affinity.first-requests-race"].verdict is Verdict.HELD
