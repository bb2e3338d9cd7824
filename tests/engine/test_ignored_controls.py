"""An admin interface that answers 200 and does nothing: read back, and never the balancer's broken promise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import plan
from limpet.harness.engine.runner import Runner
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.targets.load import BUNDLED, LoadedTarget, load, names

TARGET = "reference-lb-cookie-idle"
READ_BACK = (
    'settled = [{ http = "GET {admin.url}/v1/state", until = \'"generation": ?([2-9]|[1-9][0-9])\', timeout = "300ms", '
    'headers = { Authorization = "Bearer {token}" } }]\n'
)
"""The bundled balancer counts its changes from 1."""
NOTHING = '{ http = "GET {admin.url}/v1/health", headers = { Authorization = "Bearer {token}" } }'
"""Answers 200, whatever was wanted."""
NEED_APPLY = ("membership.removed-repins", "membership.drain", "membership.added-keeps", "invalidation.toggle")
NEED_RELOAD = ("balancer.reload", "balancer.unrelated-change")


def deaf(folder: Path, *verbs: str) -> LoadedTarget:
    """The bundled target with these verbs ignored by its admin interface, and its state read back."""
    directory = folder / "deaf"
    shutil.copytree(BUNDLED / TARGET, directory)
    shutil.copytree(BUNDLED / "_shared", folder / "_shared")
    file = directory / "target.toml"
    text = re.sub(r'^name = ".*"$', 'name = "deaf"', file.read_text("utf-8"), count=1, flags=re.MULTILINE)
    for verb in verbs:
        changed = re.sub(rf"^{verb} = \[.*?\]$", f"{verb} = [{NOTHING}]", text, count=1, flags=re.MULTILINE | re.DOTALL)
        assert changed != text, verb
        text = changed
    file.write_text(text.replace("\n[options]\n", f"\n{READ_BACK}\n[options]\n", 1), "utf-8")
    return load(directory)


def judged(out: Path, wanted: tuple[str, ...], *targets: LoadedTarget) -> dict[str, list[Result]]:
    checks = [each for each in behaviours((SUITES,)) if each.id in wanted]
    jobs = [job for target in targets for job in plan(target, checks) if job.settled is None]
    with Lab(1, list(targets)) as lab:
        runner = Runner(lab, jobs, out, lambda _event: None)
        runner.start()
        found: dict[str, list[Result]] = {}
        for job in jobs:
            found.setdefault(job.loaded.target.name, []).append(runner.result(job.key))
    return found


@pytest.mark.parametrize(("verbs", "wanted"), [(("apply",), NEED_APPLY), (("reload", "change"), NEED_RELOAD)])
def test_a_verb_that_is_ignored_is_a_setup_that_failed(
    tmp_path: Path, verbs: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    found = judged(tmp_path / "out", wanted, deaf(tmp_path, *verbs), load(TARGET))
    assert {each.behaviour for each in found["deaf"]} == set(wanted)
    for each in found["deaf"]:
        assert each.verdict is Verdict.SETUP_FAILED, f"{each.name}: {each.verdict}: {each.reason}"
        assert not each.violations
        assert re.search(r"deaf: (apply|reload|change), step \d+ .*waited 0.3 s for .*; last seen: 200 ", each.reason)
    assert {each.verdict for each in found[TARGET]} == {Verdict.HELD}, "the other target goes on"


def test_one_that_obeys_is_judged(tmp_path: Path) -> None:
    """What is read back shows in the other test only that nothing happened if it shows here that something did."""
    found = judged(tmp_path / "out", NEED_APPLY + NEED_RELOAD, deaf(tmp_path))
    assert {each.verdict for each in found["deaf"]} == {Verdict.HELD}, [each.reason for each in found["deaf"]]


def test_every_real_balancer_is_asked_what_became_of_a_verb() -> None:
    """Without a look at its state an ignored verb would be put down to the balancer's stickiness."""
    blind: list[str] = []
    for name in names():
        try:
            target = load(name).target
        except UsageFault:
            continue  # test_targets_load says so
        control = target.control
        if target.launch is None or target.launch.python or not (control.apply or control.reload):
            continue
        last = [steps[-1] for steps in (control.apply, control.reload) if steps]
        if not control.settled and not all(step.until or step.log for step in last):
            blind.append(name)
    assert not blind, f"nothing reads back what became of a change: {', '.join(blind)}"
