"""Each mode of a real balancer is really on: without its directive the same target breaks the same promise.

An option that is silently dropped leaves plain round robin, and a check that finds nothing wrong with that checks
nothing. Templates leave the directive out where `affinity_enabled` is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import pytest

from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import LoadedTarget, load, names

pytestmark = pytest.mark.balancers
HOLDS = "affinity.holds"
OFF = "affinity.off"
_KEYLESS = {"affinity": "none", "cookie": None}


def sticky() -> list[str]:
    """Bundled targets of real balancers that keep users in some way; one that does not load is its test's to tell."""
    found: list[str] = []
    for name in names():
        try:
            loaded = load(name)
        except UsageFault:
            found.append(name)
            continue
        launch = loaded.target.launch
        if launch is not None and not launch.python and loaded.own.affinity != "none":
            found.append(name)
    return found


def on_a_host_of_its_own(loaded: LoadedTarget) -> bool:
    return loaded.target.launch is not None and loaded.target.launch.own_host


def _asks(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "judged" in item.fixturenames and item.path == Path(__file__)


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """What becomes of the rows on each target that is started with its stickiness switched off."""
    known = {each.id: each for each in behaviours((SUITES,))}
    jobs: list[Job] = []
    asked = {str(item.callspec.params["name"]) for item in request.session.items if _asks(item)}
    for name in sorted(asked):
        try:
            loaded = replace(load(name), sticky=False)
        except UsageFault:
            continue
        if not missing(loaded) and not on_a_host_of_its_own(loaded):
            # Without requirements: what the contract states is judged, whoever promises it and however firmly.
            jobs.append(Job(loaded, known[HOLDS], "", ()))
            if loaded.own.affinity == "lb-cookie":
                keyless = replace(loaded, contract=loaded.contract.model_copy(update=_KEYLESS))
                jobs.append(Job(keyless, known[OFF], "fresh-connections", ()))
    with Lab(1, [job.loaded for job in jobs]) as lab:
        runner = Runner(lab, jobs, tmp_path_factory.mktemp("out"), lambda _event: None)
        runner.start()
        yield {f"{job.loaded.target.name} {job.behaviour.id}": runner.result(job.key) for job in jobs}


@pytest.mark.parametrize("name", sticky())
def test_without_its_directive_the_mode_is_found_to_be_off(name: str, judged: dict[str, Result]) -> None:
    if reason := missing(load(name)):
        pytest.skip(f"{name} is not installed here: {reason}")
    if on_a_host_of_its_own(load(name)):
        pytest.skip("needs a lab: tests/lab/test_nftables.py switches it off there")
    result = judged[f"{name} {HOLDS}"]
    remedy = "its template must leave out what makes it sticky where affinity_enabled is false"
    assert result.verdict is Verdict.BROKEN, f"{result.verdict}: {result.reason}; {remedy}\n{result.detail}"
    # A balancer that answers nothing at all breaks everything, and shows nothing about stickiness.
    assert {each.kind for each in result.violations} - {Kind.ERROR}, result.reason
    # Where no cookie comes, nobody is pinned, and the row says no more. That the cookie alone made it sticky, and not
    # something beside it such as a hash of the address, shows where nobody is recognised any more.
    off = judged.get(f"{name} {OFF}")
    assert off is None or off.verdict is Verdict.HELD, f"sticky without its cookie: {off.verdict}: {off.reason}"
