"""Runs one job on its deployment and says what it means."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from limpet.harness.engine.behaviour import CONFIDENCE
from limpet.harness.engine.captured import write_packets
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.ending import Ending, ending_of
from limpet.harness.engine.excuses import accusing
from limpet.harness.engine.outcome import Inconclusive, NotCheckable, Observed
from limpet.harness.engine.plan import Job
from limpet.harness.engine.recorder import HistoryRecorder
from limpet.harness.engine.resting import rests_on
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.timeline import Timeline
from limpet.harness.model.errors import LimpetFault, SetupFault, TargetFault, UsageFault
from limpet.harness.model.events import ScenarioProgress
from limpet.harness.model.statistics import smallest_visible_rate
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.model.violation import Kind, Violation
from limpet.harness.processes.crowding import Crowding

_SHOWN = 8
"""Violations kept of one scenario: the first ones tell the story, thousands would bury it."""


@dataclass
class Findings:
    """What became of a scenario."""

    verdict: Verdict
    reason: str
    violations: tuple[Violation, ...] = ()
    decided: int = 0
    detail: str = ""
    ended: bool = False
    """Whether the balancer's process is gone."""


def run_job(
    job: Job, deployment: Deployment, timeline: Timeline, crowding: Crowding, *, seed: int, prefix: str, out: Path,
    tell: Callable[[ScenarioProgress], None] | None = None,
) -> Result:  # fmt: skip
    """Runs the test of a job; whatever happens becomes a verdict. The deployment is started already.

    Args:
        job: what.
        deployment: where.
        timeline: of the run.
        crowding: of the machine.
        seed: of the run.
        prefix: what the ids of its requests begin with.
        out: where its history goes.
        tell: takes what a long scenario says of its progress.
    """
    begin = time.monotonic()
    path = out / "histories" / job.loaded.target.name / f"{_file_name(job.name)}.jsonl"
    recorder = HistoryRecorder(path, prefix, lambda: deployment.offset, deployment.pace)
    scenario = Scenario(
        deployment,
        recorder,
        timeline,
        seed=scenario_seed(seed, job),
        cast=str(seed),
        variant=job.variant,
        exclusive=job.behaviour.own_deployment,
        cited=bool(job.requirements),
    )

    def result(findings: Findings) -> Result:
        return _result(job, scenario, findings, begin, str(path.relative_to(out)) if path.exists() else "")

    if tell is not None:
        scenario.progress = lambda text: tell(ScenarioProgress(result(_so_far(scenario, text)), text))
    try:
        findings = _find(job, scenario, deployment, crowding)
    finally:
        scenario.close()
        deployment.deafen()
        if deployment.loaded.target.backends.owner == "limpet":
            recorder.extend(scenario.arrived())
        recorder.close()
    found = result(findings)
    if found.verdict in (Verdict.BROKEN, Verdict.KNOWN_DEVIATION):
        pcap = path.with_suffix(".pcap")
        if write_packets(scenario, findings.violations, pcap, begin):
            found = msgspec.structs.replace(found, packets=str(pcap.relative_to(out)))
    return found


def _so_far(scenario: Scenario, text: str) -> Findings:
    """What it would come to if it ended now; what is not judged yet is left out."""
    if scenario.violations:
        found = tuple(_first(scenario.violations))
        return Findings(Verdict.BROKEN, f"{_headline(scenario.violations)} ({text})", found, scenario.decided)
    verdict = Verdict.HELD if scenario.decided else Verdict.INCONCLUSIVE
    return Findings(verdict, text, (), scenario.decided)


def _result(job: Job, scenario: Scenario, findings: Findings, begin: float, history: str) -> Result:
    """The result of a job, from what was found."""
    if job.observed_only and findings.verdict in (Verdict.HELD, Verdict.BROKEN):
        # How many requests could have shown otherwise informs nobody where the scenario says what it saw.
        seen = [each.text for each in findings.violations] or [findings.reason] * (not scenario.observations)
        findings = Findings(Verdict.OBSERVED, "; ".join([*scenario.observations, *seen][:3]), (), findings.decided)
    findings = _compared(job, findings)
    return result_of(
        job,
        findings.verdict,
        findings.reason,
        violations=findings.violations,
        observations=tuple(scenario.observations),
        steps=tuple(sorted(scenario.steps, key=lambda step: step.t)),
        decided=findings.decided,
        smallest_visible=_smallest_visible(job, scenario, findings),
        requests=scenario.requests,
        elsewhere=scenario.elsewhere,
        waited=scenario.waited,
        wall=time.monotonic() - begin,
        certainty="; ".join([*filter(None, [job.behaviour.certainty]), *scenario.certainties]),
        history=history,
        detail=findings.detail,
    )


def scenario_seed(seed: int, job: Job) -> str:
    """Of the scenario of this job in a run of that seed."""
    return f"{seed}/{job.luck or job.key}"


def result_of(job: Job, verdict: Verdict, reason: str, **more: object) -> Result:
    """A result of this job."""
    loaded = job.loaded
    return Result(
        target=loaded.target.name,
        product=loaded.runs,
        profile=loaded.profile,
        behaviour=job.behaviour.id,
        variant=job.variant,
        verdict=verdict,
        reason=reason,
        emulation=loaded.emulation,
        plays=loaded.plays,
        doc=job.behaviour.doc,
        requirements=job.requirements,
        error_rate=job.behaviour.error_rate,
        budget=job.behaviour.budget,
        sees=job.behaviour.sees,
        deviation=job.deviation,
        charted=job.behaviour.charted,
        **more,  # type: ignore[arg-type]
    )


def _find(job: Job, scenario: Scenario, deployment: Deployment, crowding: Crowding) -> Findings:
    alone = job.behaviour.own_deployment
    gone = ending_of(deployment.target, (), alone=alone)
    if gone is not None:
        return _lost(gone)
    instead = _played(job, scenario, deployment)
    if instead is not None and instead.verdict not in (Verdict.OBSERVED, Verdict.INCONCLUSIVE):
        return instead
    scenario.note_end(deployment, "balancer", alone=alone)
    lost = next((each for each in scenario.endings if not each.own), None)
    return _lost(lost) if lost is not None else _judged(job, scenario, deployment, instead, crowding)


def _played(job: Job, scenario: Scenario, deployment: Deployment) -> Findings | None:
    """Runs the test; what it says instead of leaving the verdict to its history, None where it says nothing."""
    try:
        job.behaviour.test(scenario)
    except Observed as err:
        return Findings(Verdict.OBSERVED, str(err))
    except Inconclusive as err:
        return Findings(Verdict.INCONCLUSIVE, str(err))
    except NotCheckable as err:
        return Findings(Verdict.NOT_CHECKABLE, str(err))
    except TargetFault as err:
        scenario.broken(Kind.ERROR, err.reason)
    except (SetupFault, UsageFault) as err:
        if deployment.target.ended() is None:
            return Findings(Verdict.SETUP_FAILED, err.reason, detail=err.detail or deployment.target.last_lines())
        # Its process is gone in mid-run: whose doing that was is judged, this step is only where it showed.
        return Findings(Verdict.INCONCLUSIVE, err.reason, detail=err.detail)
    except Exception as err:  # noqa: BLE001 - whatever a scenario raises is limpet's own error, never the balancer's
        return Findings(
            Verdict.HARNESS_ERROR,
            f"{type(err).__name__}: {err.reason if isinstance(err, LimpetFault) else err}",
            detail="".join(traceback.format_exception(err)),
        )
    return None


def _judged(
    job: Job, scenario: Scenario, deployment: Deployment, instead: Findings | None, crowding: Crowding
) -> Findings:
    """What the oracle says to the history, and what the scenario saw itself; else what it said instead."""
    try:
        verdicts = scenario.judge()
    except Exception as err:  # noqa: BLE001 - a crashed oracle is a harness error
        return Findings(
            Verdict.HARNESS_ERROR, f"oracle: {type(err).__name__}: {err}",
            detail="".join(traceback.format_exception(err)),
        )  # fmt: skip
    ended = bool(scenario.endings)
    found = [*scenario.violations, *verdicts.violations]
    stands = job.observed_only or job.paired
    violations, excuse = (found, "") if stands else accusing(found, crowding, scenario.begin)
    decided = scenario.decided + verdicts.decided
    if excuse and not violations:
        return Findings(Verdict.INCONCLUSIVE, f"{excuse}: {_headline(found)}", (), decided, ended=ended)
    if violations:
        timing = deployment.loaded.target.timing
        rests = rests_on(timing, scenario.controls, violations, waited=scenario.waited > 0)
        return Findings(Verdict.BROKEN, _headline(violations), tuple(_first(violations)), decided, rests, ended)
    if instead is not None:
        return replace(instead, decided=decided)
    if not decided:
        return Findings(Verdict.INCONCLUSIVE, "no request of it could have shown a violation", (), 0)
    return Findings(Verdict.HELD, f"{decided} of {scenario.requests} requests could have shown otherwise"
                    if decided <= scenario.requests else f"{decided} samples could have shown otherwise",
                    (), decided)  # fmt: skip


def _lost(ending: Ending) -> Findings:
    """Nothing can be said about a balancer whose process somebody else ended."""
    return Findings(Verdict.SETUP_FAILED, ending.fault.reason, detail=ending.fault.detail)


def _compared(job: Job, findings: Findings) -> Findings:
    """What was found, beside what is known of this row."""
    known = job.deviation
    if known is None:
        return findings
    if findings.verdict is Verdict.HELD:
        remedy = f'remove the entry "{known.behaviour}" from {known.file}'
        return replace(findings, reason=f"no longer happens: {remedy} ({findings.reason})")
    if findings.verdict is not Verdict.BROKEN:
        return findings
    if findings.ended and Kind.ERROR not in known.kinds:
        return replace(findings, reason=f"{findings.reason}; no known deviation: its process ended")
    if not known.accepts(findings.violations):
        return replace(findings, reason=f"{findings.reason}; no known deviation, which is {' and '.join(known.kinds)}")
    return replace(findings, verdict=Verdict.KNOWN_DEVIATION, reason=known.happens)


def _smallest_visible(job: Job, scenario: Scenario, findings: Findings) -> float | None:
    """The smallest share of faulty answers that what was decided would have shown; None where nobody can say."""
    if findings.verdict is not Verdict.HELD:
        return None
    if scenario.visible is not None:
        return scenario.visible  # one test over many samples, none of which could have shown anything alone
    return None if job.behaviour.sees is None else smallest_visible_rate(findings.decided, CONFIDENCE)


def _headline(violations: list[Violation]) -> str:
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return violations[0].text + more


def _first(violations: Iterable[Violation]) -> list[Violation]:
    """The first ones, and of every kind at least one."""
    shown: list[Violation] = []
    kinds: set[Kind] = set()
    for each in violations:
        if len(shown) < _SHOWN or each.kind not in kinds:
            shown.append(each)
            kinds.add(each.kind)
    return shown


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_")
