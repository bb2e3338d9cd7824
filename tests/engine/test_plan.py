"""What is promised, what is checkable, and what a glob means."""

from __future__ import annotations

from pathlib import Path

from limpet.harness.engine.behaviour import ATTRIBUTE, Behaviour, behaviour
from limpet.harness.engine.plan import matches, plan
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.load import load

OWN_PROFILE = """
[product]
name = "mine"
title = "mine"
documentation = "a wiki page"
[profile.cookie]
title = "mine"
layer = 7
affinity = "lb-cookie"
cookie = { name = "STICK" }
reaction = { unhealthy = "repin" }
"""
OWN_TARGET = """
name = "mine"
profile = "mine/cookie"
[endpoint]
url = "http://127.0.0.1:1"
[backends]
owner = "yours"
identity = { header = "X-Served-By" }
member = [{ name = "a", host = "127.0.0.1", port = 2 }, { name = "b", host = "127.0.0.1", port = 3 }]
"""


def made(name: str, **facts: object) -> Behaviour:
    @behaviour(name, **{"error_rate": 0.0, "budget": 9, **facts})  # type: ignore[arg-type]
    def test(s: Scenario) -> None:
        """Some check."""

    found = getattr(test, ATTRIBUTE)
    assert isinstance(found, Behaviour)
    return found


def own(tmp_path: Path) -> Path:
    (tmp_path / "target.toml").write_text(OWN_TARGET)
    (tmp_path / "profile.toml").write_text(OWN_PROFILE)
    return tmp_path


def test_a_behaviour_that_no_requirement_names_is_not_promised() -> None:
    (job,) = plan(load("reference-lb-cookie-idle"), [made("affinity.nobody-ever-wrote-this")])
    assert job.settled is Verdict.NOT_PROMISED
    assert "no requirement" in job.reason


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    (job,) = plan(load(own(tmp_path)), [made("duration.expires", fields=("duration.clock", "duration.value"))])
    assert job.settled is Verdict.NOT_PROMISED
    assert "duration.clock" in job.reason


def test_an_own_contract_without_requirements_promises_what_it_states(tmp_path: Path) -> None:
    (job,) = plan(load(own(tmp_path)), [made("failover.repins", fields=("reaction.unhealthy",))])
    assert job.settled is None
    assert not job.observed_only


def test_what_the_target_cannot_do_is_not_checkable_and_says_why(tmp_path: Path) -> None:
    (job,) = plan(load(own(tmp_path)), [made("failover.repins", fields=("reaction.unhealthy",), needs=("kill",))])
    assert job.settled is Verdict.NOT_CHECKABLE
    assert "backends.kill" in job.reason


def test_without_knowing_who_answered_nothing_is_checkable(tmp_path: Path) -> None:
    directory = own(tmp_path)
    blind = "\n".join(line for line in OWN_TARGET.splitlines() if not line.startswith("identity"))
    (directory / "target.toml").write_text(blind)
    (job,) = plan(load(directory), [made("affinity.holds")])
    assert job.settled is Verdict.NOT_CHECKABLE
    assert "who answered" in job.reason


def test_layers_and_keys_decide_too() -> None:
    control = load("reference-round-robin")
    (keyed,) = plan(control, [made("affinity.holds")])
    (low,) = plan(control, [made("affinity.off", keyed=False, layers=(4,))])
    assert keyed.settled is Verdict.NOT_PROMISED
    assert low.settled is Verdict.NOT_PROMISED


def test_variants_are_jobs_of_their_own_and_globs_find_them() -> None:
    spec = made("failover.modes", variants=("refused", "hang"))
    jobs = plan(load("reference-lb-cookie-idle"), [spec])
    assert [job.name for job in jobs] == ["failover.modes[refused]", "failover.modes[hang]"]
    assert matches("failover.*", jobs[0])
    assert matches("failover.modes[hang]", jobs[1])
    assert not matches("failover.modes[hang]", jobs[0])
    assert [job.name for job in plan(load("reference-lb-cookie-idle"), [spec], ["*hang*"])] == ["failover.modes[hang]"]


def test_what_only_a_documentation_can_promise_is_observed_where_none_is_cited(tmp_path: Path) -> None:
    (job,) = plan(load(own(tmp_path)), [made("protocol.websocket", only_cited=True)])
    assert job.settled is None
    assert job.observed_only
