"""``conformance.json``: the machine-readable truth about one run, and its reader.

Every field is written, also where it has its default, so that the file can be read without limpet. Readers must
ignore fields that they do not know; `SCHEMA` goes up when a field changes its meaning or goes away.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from limpet.harness.model.errors import UsageFault
from limpet.harness.model.events import TargetInfo
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.run import AtTheEnd, Run, Section
from limpet.reports.text import encodable, write_atomically

SCHEMA = 1

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class RowRecord(msgspec.Struct, frozen=True):
    """One behaviour; ``verdict`` is the worst of ``variants`` ("" names the only one of a row without variants)."""

    behaviour: str
    verdict: Verdict
    why: str
    variants: dict[str, Verdict]


class TargetRecord(msgspec.Struct, frozen=True):
    """One target. ``contract`` is the merged contract that it was judged by, as JSON.

    ``product`` and ``version`` are what ran, ``plays`` the product that it was judged as where that is another one,
    ``network`` where its traffic came from (``loopback``, ``namespace``).
    ``documented`` is the version whose documentation was read, where that is not about ``version``.
    """

    name: str
    title: str
    product: str
    version: str
    profile: str
    emulation: bool
    summary: str
    rows: tuple[RowRecord, ...]
    contract: msgspec.Raw
    plays: str = ""
    network: str = ""
    documented: str = ""


class Conformance(msgspec.Struct, frozen=True):
    """A whole run. Times are seconds, ``started`` is ISO 8601; ``complete`` is False after an interruption."""

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
    targets: tuple[TargetRecord, ...]
    results: tuple[Result, ...]


class _Version(msgspec.Struct):
    schema: int


class ConformanceReport(AtTheEnd):
    """Writes ``conformance.json`` at the end of a run, also of one that was interrupted."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, run: Run) -> Path:
        """Write the file in one piece."""
        write_atomically(self._path, encode(record(run)))
        return self._path


def record(run: Run) -> Conformance:
    """A run as it is written down."""
    return Conformance(
        schema=SCHEMA,
        limpet=run.started.version,
        run=run.started.run,
        seed=run.started.seed,
        command=run.started.command,
        started=run.started.started,
        wall=run.wall,
        waited=run.waited,
        complete=not run.interrupted,
        exit_code=int(run.judgement.code),
        reasons=run.judgement.reasons,
        summary=run.judgement.summary,
        targets=tuple(_target(section) for section in run.sections),
        results=run.results,
    )


def _target(section: Section) -> TargetRecord:
    info = section.info
    rows = tuple(
        RowRecord(row.behaviour, row.verdict, row.why, {each.variant: each.verdict for each in row.results})
        for row in section.rows
    )
    return TargetRecord(
        info.name, info.title, info.product, info.version, info.profile, info.emulation, section.summary, rows,
        _contract(info), info.plays, info.network, info.documented,
    )  # fmt: skip


def _contract(info: TargetInfo) -> msgspec.Raw:
    if not info.contract:
        return msgspec.Raw(b"null")
    try:
        return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(info.contract)))
    except msgspec.DecodeError:
        return msgspec.Raw(msgspec.json.encode(encodable(info.contract)))


def encode(conformance: Conformance) -> bytes:
    """The file's text: indented JSON, fields in a fixed order, a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(whole(conformance)), indent=1) + b"\n"


def whole(value: object) -> Json | msgspec.Raw:
    """``value`` with every field of every struct, defaults included, and text that UTF-8 can hold."""
    match value:
        case msgspec.Struct():
            fields = {name: whole(getattr(value, name)) for name in value.__struct_fields__}
            if isinstance(value, Result):
                fields = {"key": whole(value.key), "name": whole(value.name)} | fields
            return fields  # type: ignore[return-value]  # Raw is JSON already
        case msgspec.Raw():
            return value
        case dict():
            return {encodable(str(key)): whole(item) for key, item in value.items()}  # type: ignore[misc]
        case list() | tuple():
            return [whole(item) for item in value]  # type: ignore[misc]
        case str():
            return encodable(str(value))
        case bool() | int() | float() | None:
            return value
    raise TypeError(f"no JSON for {type(value).__name__}")


def load(path: Path) -> Conformance:
    """Read a ``conformance.json``.

    Raises:
        UsageFault: there is no such file, it is no conformance report, or a newer limpet wrote it.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise UsageFault(f"cannot be read: {err.strerror}", where=str(path), do="name a conformance.json") from err
    try:
        found = msgspec.json.decode(data, type=_Version).schema
        if found > SCHEMA:
            raise UsageFault(
                f"schema {found} is newer than {SCHEMA}, the newest this limpet reads",
                where=str(path),
                do="update limpet",
            )
        return msgspec.json.decode(data, type=Conformance)
    except msgspec.DecodeError as err:
        raise UsageFault(f"no conformance report: {err}", where=str(path), do="name a conformance.json") from err


def json_schema() -> bytes:
    """The JSON Schema of ``conformance.json``, as indented text."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Conformance)), indent=1) + b"\n"
