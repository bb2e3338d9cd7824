"""Lets `chaos.random-walk` find every fault that names it, on each of its targets, and plays what it wrote again.

``make walks`` (about a quarter of an hour, not part of `make test`). Each walk that was found must have at most 12
steps, go wrong in the same way when it is played again, and hold on the right balancer. Writes what it saw to
``docs/walks.md`` with the date; ``ARGS=--keep`` puts the walks into ``tests/chaos/walks`` too, which `make test`
plays.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from limpet.harness.chaos.random_walk import random_walk
from limpet.harness.chaos.replay import parse
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

ROOT = Path(__file__).parents[2]
MOST_STEPS = 12
DEALS = 10
"""As in the selftest: one run sees some sequences of events."""


@dataclass(frozen=True)
class Found:
    """What became of one fault on one target; `wrong` is empty where all is as it has to be."""

    fault: str
    target: str
    seed: int
    deals: int
    how: str
    steps: int
    wrong: str
    text: str = ""


def faulty(loaded: LoadedTarget, fault: Fault, evidence: Path) -> LoadedTarget:
    """The target with the fault in it, under its own name."""
    return replace(loaded, override=Override(ENTRY, before=(str(fault.path), str(evidence))))


def played(out: Path, seed: int, job: Job) -> Result:
    """What becomes of one scenario that has the machine for itself."""
    with Lab(seed, [job.loaded]) as lab:
        runner = Runner(lab, [job], out, lambda _event: None)
        runner.start()
        return runner.result(job.key)


def searched(fault: Fault, target: str, out: Path) -> Found:
    """Deals walks until one finds the fault; what it was shrunk to is played again on both balancers."""

    def test(scenario: Scenario) -> None:
        random_walk(scenario)

    loaded = faulty(load(target), fault, out / "activated")
    spec = Behaviour(RANDOM_WALK, test, 0.0, 1300, touches="backends", keyed=None)
    job = Job(loaded, spec, "", requirements_of(loaded, RANDOM_WALK))
    seed, verdict = 0, Verdict.HELD
    for deal in range(1, DEALS + 1):
        seed = secrets.randbelow(1_000_000_000)
        result = played(out / f"deal{deal}", seed, job)
        verdict = result.verdict
        if verdict in (Verdict.HELD, Verdict.INCONCLUSIVE):  # the latter on a crowded machine, which accuses nobody
            continue
        if verdict is not Verdict.BROKEN:
            break
        text = (out / f"deal{deal}" / result.history).with_suffix(".toml").read_text("utf-8")
        walk = parse(text, f"{fault.name} on {target}")
        again = played(out / "again", seed, job_of(walk, loaded))
        right = played(out / "right", seed, job_of(walk, load(target)))
        kinds = {str(each.kind) for each in again.violations}
        wrong = [
            *([f"{len(walk.step)} steps"] if len(walk.step) > MOST_STEPS else []),
            *([f"{walk.violation} is not what it provokes"] if walk.violation not in fault.provokes else []),
            *([f"played again: {again.verdict}, {kinds or 'no violation'}"] if walk.violation not in kinds else []),
            *([f"the right balancer: {right.verdict}"] if right.verdict is not Verdict.HELD else []),
        ]
        return Found(fault.name, target, seed, deal, result.observations[0], len(walk.step), "; ".join(wrong), text)
    return Found(fault.name, target, seed, deal, "", 0, f"not found in {deal} runs, the last one {verdict}")


def page(found: list[Found], seconds: float) -> str:
    """What was seen, for docs/walks.md."""
    today = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Walks that are found and made small", "",
        f"Written by `make walks` on {today}, {os.cpu_count()} cores, {seconds:.0f} s. Each fault that only a sequence "
        "of events shows, on each of its targets: `chaos.random-walk` is dealt with fresh seeds until it finds it, "
        "makes it small, and what it wrote is played again on the faulty balancer (the same violation is wanted) "
        "and on the right one (held).", "",
        "| fault | target | runs until found | seed | steps dealt → left | plays | again | as it has to be |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for each in found:
        numbers = re.search(r"made of (\d+) steps \d+ in (\d+) plays; .* (\d+ of \d+) times", each.how)
        dealt, plays, again = numbers.groups() if numbers else ("", "", "")
        lines.append(
            f"| {each.fault} | {each.target} | {each.deals} | {each.seed} | {dealt} → {each.steps} | {plays} | "
            f"{again} | {each.wrong or 'yes'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Returns 0 when every fault was found and each walk is as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", default="*", metavar="GLOB", help="only these faults")
    parser.add_argument("--keep", action="store_true", help="put the walks into tests/chaos/walks")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "walks.md", help="where the page goes")
    arguments = parser.parse_args()
    begin, found = time.monotonic(), []
    for fault in faults((FAULTY, ROOT / "tests" / "chaos" / "faulty")):
        # What a single event shows as well needs no walk: another row looks at it more closely.
        several = RANDOM_WALK in fault.caught_by and all(glob.startswith("chaos.") for glob in fault.caught_by)
        if not several or not fnmatchcase(fault.name, arguments.fault):
            continue
        for target in fault.targets:
            with tempfile.TemporaryDirectory() as folder:
                each = searched(fault, target, Path(folder))
            print(f"{fault.name} on {target}: {each.steps} steps, {each.how}; {each.wrong or 'ok'}", flush=True)  # noqa: T201
            found.append(each)
            if arguments.keep and not each.wrong:
                (ROOT / "tests" / "chaos" / "walks" / f"{fault.name}--{target}.toml").write_text(each.text, "utf-8")
            arguments.to.write_text(page(found, time.monotonic() - begin), "utf-8")
    return 1 if not found or any(each.wrong for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
