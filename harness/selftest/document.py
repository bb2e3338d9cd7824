"""`selftest.json`: the report for machines."""

from __future__ import annotations

from pathlib import Path

import msgspec

import limpet
from limpet.harness.model.violation import Kind
from limpet.harness.selftest.outcomes import Outcome, Report, missed_at_first


class TrialRow(msgspec.Struct, frozen=True):
    """One behaviour against one fault. ``right`` and ``wrong`` are verdicts; histories are relative to the file."""

    behaviour: str
    target: str
    declared: bool
    rejected: bool
    activated: bool
    right: str
    wrong: str
    reason: str
    violations: tuple[Kind, ...]
    right_history: str
    wrong_history: str


class CatchRow(msgspec.Struct, frozen=True):
    """A declared catcher on one target: which of its variants rejected the fault, or why none did."""

    target: str
    catcher: str
    rejected_by: tuple[str, ...]
    why_not: str


class FaultRow(msgspec.Struct, frozen=True):
    """One fault."""

    name: str
    title: str
    classes: tuple[int, ...]
    provokes: tuple[Kind, ...]
    rejected: bool
    catchers: tuple[CatchRow, ...]
    trials: tuple[TrialRow, ...]


class Document(msgspec.Struct, frozen=True):
    """The whole report."""

    version: str
    seed: int
    full: bool
    exit_code: int
    faults: tuple[FaultRow, ...]
    accused: tuple[str, ...]
    undecided: tuple[str, ...]
    unproven: tuple[str, ...]
    blind: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    network: str = "loopback"


def write(report: Report, path: Path) -> None:
    """Writes it."""
    rows = []
    for each in report.faults:
        fault = each.fault
        catches = tuple(CatchRow(one.target, one.catcher, one.by, one.why_not) for one in each.catches)
        trials = tuple(_row(one) for one in report.outcomes if one.trial.fault is fault)
        rows.append(FaultRow(fault.name, fault.doc, fault.classes, fault.provokes, each.rejected, catches, trials))
    document = Document(
        version=limpet.__version__,
        seed=report.seed,
        full=report.full,
        exit_code=report.code,
        faults=tuple(rows),
        accused=tuple(f"{each.key}: {each.reason}" for each in report.accused),
        undecided=tuple(f"{each.key}: {each.verdict}: {each.reason}" for each in report.undecided),
        unproven=report.unproven,
        blind=report.blind,
        again=tuple(missed_at_first(each) for each in report.again),
        network=report.network,
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _row(each: Outcome) -> TrialRow:
    return TrialRow(
        behaviour=each.right.name,
        target=each.right.target,
        declared=bool(each.trial.catcher),
        rejected=each.rejected,
        activated=each.activated,
        right=each.right.verdict,
        wrong=each.wrong.verdict,
        reason=each.why_not or each.wrong.reason,
        violations=tuple(dict.fromkeys(one.kind for one in each.wrong.violations)),
        right_history=each.right.history,
        wrong_history=each.wrong.history,
    )
