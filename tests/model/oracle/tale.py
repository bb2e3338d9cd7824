"""Hand-written histories, line by line, for the tests of the oracle's rules."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Control, Received, Record, Sent
from limpet.harness.model.oracle import Judged, Oracle, Verdicts
from limpet.harness.model.violation import Kind

ABC = ("a", "b", "c")
PROMISES = {
    "unhealthy": "repin", "removed": "repin", "draining": "repin", "recovered": "stay", "added": "keep",
    "restart": "keep", "reload": "keep", "toggled": "keep", "bad_cookie": "replace", "all_down": "5xx",
}  # fmt: skip


def contract(affinity: str = "lb-cookie", **changes: Any) -> Contract:
    names = ("duration", "cookie", "application", "key_prefix", "layer", "protocol", "hash")
    parts: dict[str, Any] = {key: changes.pop(key) for key in names if key in changes}
    data: dict[str, Any] = {"title": "t", "layer": 7, "affinity": affinity, "reaction": PROMISES | changes, **parts}
    if affinity == "lb-cookie":
        data.setdefault("cookie", {"name": "S"})
    return Contract.model_validate(data)


class Tale:
    """Writes a history line by line."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._ids = itertools.count(1)
        self.offset = 0.0

    def ask(
        self, t: float, sends: str | None, backend: str, *, sets: str = "", till: float = 0.0, client: str = "x",
        error: str = "", status: int = 0, source: str = "10.0.0.1", note: str = "", connection: str = "",
        name: str = "S", answers: str = "",
    ) -> str:  # fmt: skip
        id = f"r{next(self._ids)}"
        headers = (("Cookie", "; ".join(f"{name}={each}" for each in sends.split("+"))),) if sends else ()
        given: tuple[tuple[str, str], ...] = (("Set-Cookie", f"{name}={sets}"),) if sets else ()
        self.records.append(Sent(id, t, client, connection, source, headers=headers, offset=self.offset, note=note))
        given += (("Limpet-Request", answers),) if answers else ()
        status = status or (200 if backend else 0 if error else 502)
        self.records.append(
            Received(id, till or t + 0.1, status, backend, headers=given, error=error, offset=self.offset)
        )
        return id

    def do(self, t: float, verb: Any, backend: str = "", *, done: float = 0.0, value: float = 0.0) -> None:
        self.records.append(Control(verb, t, done or t + 0.5, backend, value, offset=self.offset))

    def judge(self, promised: Contract, members: Sequence[str] = ABC, **more: Any) -> Verdicts:
        return Oracle(promised, members, **more).judge(self.records)


def kinds(verdicts: Verdicts) -> list[Kind]:
    return [each.kind for each in verdicts.violations]


def last(verdicts: Verdicts) -> Judged:
    return verdicts.judged[-1]
