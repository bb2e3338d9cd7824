"""`selftest.md`: who rejected what, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from limpet.harness.selftest.classes import CLASSES
from limpet.harness.selftest.outcomes import FaultReport, Outcome, Report, missed_at_first


def write_table(report: Report, path: Path) -> None:
    """Writes it: fault by behaviours that rejected it, behaviour by faults, and what is wrong."""
    path.write_text("\n".join(_lines(report)) + "\n", "utf-8")


def _lines(report: Report) -> Iterator[str]:
    tried = "every promised behaviour" if report.full else "its catchers and a sample of other behaviours"
    done = sum(each.rejected for each in report.faults)
    yield "# Selftest"
    yield f"\n{done} of {len(report.faults)} faults are rejected by each of their catchers; seed {report.seed}. Each "
    yield f"fault was tried with {tried}, {len(report.outcomes)} trials in all."
    yield from _wrong(report)
    yield "\n## Fault by the behaviours that rejected it\n"
    yield "Declared catchers are **bold**. A number of trials that noticed nothing stands at the end.\n"
    yield "| fault | what is wrong | classes | target | rejected by | noticed nothing |\n|---|---|---|---|---|---|"
    for each in report.faults:
        yield from _rows(each, [one for one in report.outcomes if one.trial.fault is each.fault])
    yield "\n## Behaviour by the faults that it rejected\n"
    yield "| behaviour | number | faults |\n|---|---|---|"
    for name, faults in sorted(by_behaviour(report.outcomes).items()):
        yield f"| {name} | {len(faults)} | {', '.join(faults)} |"
    yield "\n## Classes\n"
    yield "| class | what is wrong | faults |\n|---|---|---|"
    for number, words in CLASSES.items():
        names = [each.fault.name for each in report.faults if number in each.fault.classes and each.rejected]
        yield f"| {number} | {words} | {', '.join(names)} |"


def _wrong(report: Report) -> Iterator[str]:
    for fault in report.faults:
        for one in fault.catches:
            if not one.by:
                yield f"\n**Not rejected:** {fault.fault.name} by {one.catcher} on {one.target}: {_cell(one.why_not)}"
    for result in report.accused:
        yield f"\n**Rejects the right balancer:** {result.name} on {result.target}: {_cell(result.reason)}"
    for result in report.undecided:
        yield f"\nOn the right balancer {result.name} on {result.target} is {result.verdict}: {_cell(result.reason)}"
    for each in report.again:
        yield f"\nTried with a second seed: {_cell(missed_at_first(each))}"
    if report.whole and report.blind:
        yield f"\n**Reject no fault:** {', '.join(report.blind)}"


def _rows(found: FaultReport, outcomes: Sequence[Outcome]) -> Iterator[str]:
    fault = found.fault
    for target in fault.targets:
        mine = [each for each in outcomes if each.right.target == target]
        seen = sorted({(not each.trial.catcher, each.right.name) for each in mine if each.noticed})
        by = ", ".join(name if other else f"**{name}**" for other, name in seen)
        quiet = sum(not each.noticed for each in mine)
        classes = " ".join(map(str, fault.classes))
        yield f"| {fault.name} | {_cell(fault.doc)} | {classes} | {target} | {by} | {quiet} |"


def by_behaviour(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """Behaviour (all variants) that was tried → names of the faults that it noticed."""
    found: dict[str, list[str]] = {}
    for each in outcomes:
        names = found.setdefault(each.right.behaviour, [])
        if each.noticed and each.trial.fault.name not in names:
            names.append(each.trial.fault.name)
    return found


def _cell(text: str) -> str:
    """Text that neither ends its table cell nor means anything to Markdown or HTML."""
    words = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{each}" if each in "|*_`[]\\" else each for each in words)
