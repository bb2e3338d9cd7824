"""How a walk is played on a real balancer: each word does what it says, and what has no sense is passed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limpet.harness.chaos.theatre import Performance, Theatre
from limpet.harness.chaos.walk import Step
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Control, Sent
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.targets.load import load

TARGET = "reference-lb-cookie-idle"
EVERYBODY = Step("visit", users=(1, 2, 3))


def judged(tmp_path: Path, test: Callable[[Scenario], None], target: str = TARGET) -> Result:
    loaded = load(target)
    spec = Behaviour("some.walk", test, 0.0, 99, touches="backends")
    job = Job(loaded, spec, "", (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),))
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        return runner.result(job.key)


def plays(tmp_path: Path, *walks: tuple[Step, ...], target: str = TARGET) -> list[Performance]:
    found: list[Performance] = []

    def test(s: Scenario) -> None:
        theatre = Theatre(s, "someone")
        found.extend(theatre.play(walk) for walk in walks)
        s.decided += 1

    result = judged(tmp_path, test, target)
    assert result.verdict is Verdict.HELD, result.detail or result.reason
    return found


def texts(played: Performance) -> list[str]:
    return [told.text for told in played.told]


def test_every_word_is_played_and_nothing_is_wrong_on_the_right_balancer(tmp_path: Path) -> None:
    walk = (
        EVERYBODY, Step("strangers", strangers=2), Step("kill", backend="of 1", users=(1,)), EVERYBODY,
        Step("revive", backend="down"), EVERYBODY, Step("drain", backend="of 2"), EVERYBODY,
        Step("undrain", backend="drained"), Step("add", weight=2), EVERYBODY,
        Step("weight", backend="newest", weight=3),
        Step("reorder"), Step("remove", backend="newest"), EVERYBODY, Step("reload"), Step("change"), EVERYBODY,
        Step("clock", lifetimes=0.5), EVERYBODY, Step("visit", users=(1,), show="first"),
        Step("visit", users=(2,), show="nothing", connection="kept"), Step("affinity-off"), EVERYBODY,
        Step("affinity-on"), EVERYBODY, Step("restart"), EVERYBODY,
    )  # fmt: skip
    (played,) = plays(tmp_path, walk)
    assert all(told.played for told in played.told), texts(played)
    assert played.violations == () and played.decided > 10
    verbs = [each.verb for each in played.records if isinstance(each, Control)]
    assert verbs == ["kill", "revive", "drain", "undrain", "add", "weight", "reorder", "remove", "reload", "change",
                     "advance-clock", "affinity-off", "affinity-on", "restart"]  # fmt: skip


def test_the_same_steps_send_the_same_requests(tmp_path: Path) -> None:
    walk = (EVERYBODY, Step("drain", backend="of 1"), Step("visit", users=(2, 1), strangers=2))
    one, other = plays(tmp_path, walk, walk)
    said = [
        [(each.client, each.source, each.path) for each in played.records if isinstance(each, Sent)]
        for played in (one, other)
    ]
    assert said[0] == said[1] and len(said[0]) == one.requests == 9
    assert texts(one) == texts(other)


def test_what_has_no_sense_is_passed_over_and_says_why(tmp_path: Path) -> None:
    walk = (
        Step("revive", backend="down"), Step("undrain", backend="drained"), EVERYBODY,
        Step("drain", backend="member 1"), Step("drain", backend="member 1"), Step("remove", backend="member 2"),
        Step("kill", backend="member 2"), Step("kill", backend="member 9"), Step("kill", backend="before 1"),
    )  # fmt: skip
    (played,) = plays(tmp_path, walk)
    assert [told.played for told in played.told] == [False, False, True, True, False, True, False, False, False]
    assert "nobody but b3 takes new sessions" in texts(played)[6]
    assert '"before 1" means no member now' in texts(played)[8]


def test_a_backend_is_named_by_what_it_is_to_a_user(tmp_path: Path) -> None:
    walk = (
        Step("visit", users=(1,)), Step("kill", backend="of 1", users=(1,)), Step("visit", users=(1,)),
        Step("revive", backend="before 1"), Step("weight", backend="beside 1", weight=2), Step("add"),
        Step("weight", backend="newest", weight=2),
    )  # fmt: skip
    (played,) = plays(tmp_path, walk)
    first = next(iter(texts(played)[0].split(": ")[2:]))
    assert texts(played)[1].startswith(f"{first} dies; until that is noticed, ")
    assert texts(played)[3].startswith(f"{first} is back")
    assert texts(played)[4] == f"{first} gets weight 2" and texts(played)[6] == "b4 gets weight 2"


def test_a_walk_on_a_balancer_of_tcp_and_on_one_of_datagrams(tmp_path: Path) -> None:
    walk = (EVERYBODY, Step("kill", backend="of 1", users=(1,)), EVERYBODY, Step("revive", backend="down"), EVERYBODY)
    for number, target in enumerate(("reference-tcp-source-ip", "reference-udp-flow")):
        (played,) = plays(tmp_path / str(number), walk, target=target)
        assert played.violations == () and all(told.played for told in played.told)
