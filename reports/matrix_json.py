"""``matrix.json``: the comparison for machines. The evidence behind each cell is in ``conformance.json`` beside it."""

from __future__ import annotations

import msgspec

from limpet.harness.model.verdict import Verdict
from limpet.reports.conformance import whole
from limpet.reports.matrix import LeftOut, Matrix, Mode, reproduction
from limpet.reports.run import Row

SCHEMA = 1


class CellRecord(msgspec.Struct, frozen=True):
    """One behaviour on one target; ``verdict`` is the worst of its ``variants``, ``histories`` are files beside it."""

    verdict: Verdict
    why: str
    variants: dict[str, Verdict]
    histories: tuple[str, ...]


class BehaviourRecord(msgspec.Struct, frozen=True):
    """One line; ``cells`` go by target, and one that was not run there has none."""

    behaviour: str
    area: str
    doc: str
    cells: dict[str, CellRecord]


class ColumnRecord(msgspec.Struct, frozen=True):
    """One target. ``seconds`` from its first scenario to its last verdict, None where nothing was run."""

    target: str
    title: str
    product: str
    version: str
    profile: str
    plays: str
    affinity: str
    control: bool
    counts: dict[Verdict, int]
    seconds: float | None
    again: str
    documented: str = ""


class MatrixRecord(msgspec.Struct, frozen=True):
    """The whole comparison. Times are seconds, ``waited`` is the sum of all waits in the run."""

    schema: int
    limpet: str
    run: str
    seed: int
    command: str
    started: str
    wall: float
    waited: float
    complete: bool
    exit_code: int
    reasons: tuple[str, ...]
    summary: str
    counts: dict[Verdict, int]
    slowest: tuple[str, ...]
    without_control: tuple[str, ...]
    targets: tuple[ColumnRecord, ...]
    behaviours: tuple[BehaviourRecord, ...]
    left_out: tuple[LeftOut, ...]


def record(matrix: Matrix) -> MatrixRecord:
    """The comparison as it is written down."""
    run = matrix.run
    return MatrixRecord(
        schema=SCHEMA,
        limpet=run.started.version,
        run=run.started.run,
        seed=run.started.seed,
        command=run.started.command,
        started=run.started.started,
        wall=round(run.wall, 3),
        waited=round(run.waited, 3),
        complete=not run.interrupted,
        exit_code=int(run.judgement.code),
        reasons=run.judgement.reasons,
        summary=run.judgement.summary,
        counts=matrix.counts,
        slowest=tuple(each.info.name for each in matrix.slowest),
        without_control=matrix.uncontrolled,
        targets=tuple(_column(each, run.started.seed) for each in matrix.modes),
        behaviours=tuple(
            BehaviourRecord(
                line.behaviour,
                area.name,
                line.doc,
                {
                    mode.info.name: _cell(row)
                    for mode, row in zip(matrix.modes, line.cells, strict=True)
                    if row is not None
                },
            )
            for area in matrix.areas
            for line in area.lines
        ),
        left_out=matrix.left_out,
    )


def encode(matrix: Matrix) -> bytes:
    """The file's text: indented JSON, fields in a fixed order, a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(whole(record(matrix))), indent=1) + b"\n"


def _column(mode: Mode, seed: int) -> ColumnRecord:
    info = mode.info
    return ColumnRecord(
        info.name, info.title, info.product, info.version, info.profile, info.plays, mode.affinity, mode.control,
        mode.counts, None if mode.span is None else round(mode.span.seconds, 3), reproduction(mode, seed),
        info.documented,
    )  # fmt: skip


def _cell(row: Row) -> CellRecord:
    return CellRecord(
        row.verdict,
        row.why,
        {each.variant: each.verdict for each in row.results},
        tuple(each.history for each in row.results if each.history),
    )
