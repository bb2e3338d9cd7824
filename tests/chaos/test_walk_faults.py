"""Faults that need one event upon another: a random walk finds them, makes them small, and they are played again.

The files in ``walks/`` are what ``chaos.random-walk`` wrote; each is named by its fault and its target.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limpet.harness.chaos.random_walk import random_walk
from limpet.harness.chaos.replay import read
from limpet.harness.cli.replaying import RANDOM_WALK, job_of
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job, requirements_of
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.selftest.faults import FAULTY, Fault, faults
from limpet.harness.selftest.trials import ENTRY
from limpet.harness.targets.load import LoadedTarget, load
from limpet.harness.targets.override import Override

MOST_STEPS = 12
DEALT = 4
"""A seed whose walks bring a newcomer upon a drain with strangers after it; not every seed's do."""
RARE = Path(__file__).parent / "faulty"
"""Faults that a run of six walks comes upon so seldom that the selftest would deal for minutes."""
WALKS = sorted((Path(__file__).parent / "walks").glob("*.toml"))
FAULTS = {
    each.name: each
    for each in faults((FAULTY, RARE))
    # What a single event shows as well needs no file here: another row looks at it more closely.
    if RANDOM_WALK in each.caught_by and all(glob.startswith("chaos.") for glob in each.caught_by)
}


def wrong(loaded: LoadedTarget, fault: Fault, evidence: Path) -> LoadedTarget:
    target = loaded.target.model_copy(update={"name": f"{loaded.target.name}+{fault.name}"})
    return replace(loaded, target=target, override=Override(ENTRY, before=(str(fault.path), str(evidence))))


def results(out: Path, *jobs: Job, seed: int = 1) -> list[Result]:
    with Lab(seed, [job.loaded for job in jobs]) as lab:
        runner = Runner(lab, jobs, out, lambda _event: None)
        runner.start()
        return [runner.result(job.key) for job in jobs]


def test_each_such_fault_has_a_walk_on_each_of_its_targets() -> None:
    assert len(FAULTS) >= 3
    wanted = {f"{fault.name}--{target}" for fault in FAULTS.values() for target in fault.targets}
    assert {path.stem for path in WALKS} == wanted


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Result, Result]]]:
    """Each walk on the right balancer and on the faulty one, all side by side; what was activated is in the folder."""
    out = tmp_path_factory.mktemp("walks")
    jobs: list[Job] = []
    for path in WALKS:
        name, _, target = path.stem.partition("--")
        walk, loaded = read(path), load(target)
        for each in (loaded, wrong(loaded, FAULTS[name], out / f"{path.stem}.activated")):
            jobs.append(replace(job_of(walk, each), variant=name))
    found = results(out, *jobs)
    return out, {path.stem: (found[2 * n], found[2 * n + 1]) for n, path in enumerate(WALKS)}


@pytest.mark.parametrize("path", WALKS, ids=lambda path: path.stem)
def test_a_found_walk_is_small_and_goes_wrong_in_the_same_way_again(
    path: Path, played: tuple[Path, dict[str, tuple[Result, Result]]]
) -> None:
    out, found = played
    right, faulty = found[path.stem]
    walk, fault = read(path), FAULTS[path.stem.partition("--")[0]]
    assert (walk.target, walk.affinity) == (right.target, load(right.target).contract.affinity)
    assert len(walk.step) <= MOST_STEPS
    assert right.verdict is Verdict.HELD, right.reason
    assert faulty.verdict is Verdict.BROKEN, faulty.reason
    assert walk.violation in {str(each.kind) for each in faulty.violations} & {str(kind) for kind in fault.provokes}
    assert (out / f"{path.stem}.activated").exists()
    assert len(faulty.steps) == len(walk.step) and (out / faulty.history).exists()


def test_a_walk_finds_it_makes_it_small_and_saves_it(tmp_path: Path) -> None:
    fault = FAULTS["newcomer-opens-the-drained"]
    loaded = wrong(load("reference-lb-cookie-idle"), fault, tmp_path / "activated")

    def test(scenario: Scenario) -> None:
        random_walk(scenario)

    spec = Behaviour(RANDOM_WALK, test, 0.0, 1300, touches="backends", keyed=None)
    job = Job(loaded, spec, "", requirements_of(loaded, RANDOM_WALK))
    (result,) = results(tmp_path, job, seed=DEALT)
    assert result.verdict is Verdict.BROKEN, result.reason
    assert {str(each.kind) for each in result.violations} == {"served-by-draining"}
    file = (tmp_path / result.history).with_suffix(".toml")
    walk = read(file)
    assert 2 < len(walk.step) <= MOST_STEPS and walk.violation == "served-by-draining"
    assert file.read_text().startswith(f"# {result.violations[0].text}")
    found, again = result.observations
    assert "played again it went wrong in the same way" in found and str(file) in again
    assert len(list(file.parent.iterdir())) == 2, "what was played on the way is gone"
