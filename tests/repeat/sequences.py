"""Plays every fault that only several events show against every promised behaviour: does no single event show it?

``make sequences`` (an hour and more, not part of `make test`). The faults are those of which all catchers are rows in
which several events come together; each row has to have three of them that nothing else rejects. Writes what it saw to
``docs/sequences.md`` with the date. What was played before, and lies in ``limpet-sequences``, is not played again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from limpet.harness.selftest.faults import Fault, faults

ROOT = Path(__file__).parents[2]
SEVERAL = (
    "chaos.random-walk", "chaos.steady-state", "chaos.soak",
    "failover.rate", "fairness.skew", "fairness.scale-out-lag", "membership.rolling-deploy",
)  # fmt: skip
"""Rows in which several events come together."""
LEAST = 3


@dataclass(frozen=True)
class Seen:
    """What a full selftest of one fault showed.

    Attributes:
        fault: its name.
        seed: of that selftest.
        trials: how many behaviours of its targets it was put before.
        acted: in how many of them it did something wrong.
        rejecting: behaviour → the targets on which it rejected the fault.
    """

    fault: str
    seed: int
    trials: int
    acted: int
    rejecting: Mapping[str, Sequence[str]]

    @property
    def single(self) -> list[str]:
        """What rejected it with a single event."""
        return [name for name in self.rejecting if name not in SEVERAL]


def candidates() -> list[Fault]:
    """The faults that name rows of several events only."""
    return [fault for fault in faults() if fault.caught_by and set(fault.caught_by) <= set(SEVERAL)]


def seen(document: Mapping[str, Any]) -> Seen:
    """Reads a `selftest.json` of one fault."""
    (fault,) = document["faults"]
    rejecting: dict[str, list[str]] = {}
    for trial in fault["trials"]:
        if trial["wrong"] == "broken":
            rejecting.setdefault(trial["behaviour"], []).append(trial["target"])
    acted = sum(trial["activated"] for trial in fault["trials"])
    return Seen(fault["name"], document["seed"], len(fault["trials"]), acted, rejecting)


def too_few(found: Iterable[Seen]) -> list[str]:
    """The rows that have not enough faults which nothing but such rows rejected."""
    counts = dict.fromkeys(SEVERAL, 0)
    for each in found:
        for row in each.rejecting if not each.single else ():
            counts[row] += 1
    return [f"{row}: {count}" for row, count in counts.items() if count < LEAST]


def page(found: Sequence[Seen], open_: Sequence[str] = ()) -> str:
    """What was seen, for docs/sequences.md; ``open_`` are the faults that were not played."""
    today = datetime.datetime.now(datetime.UTC).date()
    few = too_few(found)
    lines = [
        "# Faults that no single event shows", "",
        f"Written by `make sequences` on {today}, {os.cpu_count()} cores. Each fault that names only rows in which "
        "several events come together, before every promised behaviour of its targets (`limpet selftest --full --fault "
        "NAME`; lengthy rows only where it names them).", "",
        f"Rows with fewer than {LEAST} faults that nothing but such rows rejects: {', '.join(few) or 'none'}."
        + (f" Not played: {', '.join(open_)}." if open_ else ""), "",
        "| fault | seed | behaviours and targets | acted in | rejected by (targets) | a single event too |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for each in found:
        by = [f"`{name}` ({len(targets)})" for name, targets in each.rejecting.items() if name in SEVERAL]
        also = [f"`{name}` ({', '.join(each.rejecting[name])})" for name in each.single]
        cells = (each.fault, each.seed, each.trials, each.acted, ", ".join(by), ", ".join(also) or "no")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Returns 0 when each row has its faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", default="*", metavar="GLOB", help="only these faults")
    parser.add_argument("--played", action="store_true", help="only the page, of what lies in --out")
    parser.add_argument("--out", type=Path, default=ROOT / "limpet-sequences", help="where the selftests go")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "sequences.md", help="where the page goes")
    arguments = parser.parse_args()
    found: list[Seen] = []
    left: list[str] = []
    for fault in candidates():
        if not fnmatchcase(fault.name, arguments.fault):
            continue
        folder = arguments.out / fault.name
        if arguments.played and not (folder / "selftest.json").exists():
            left.append(fault.name)
            continue
        if not (folder / "selftest.json").exists():
            print(f"{fault.name} …", flush=True)  # noqa: T201 - a tool for the terminal
            command = [sys.executable, "-m", "limpet.harness.cli.main", "selftest", "--full", "--fault", fault.name]
            done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True)
            if not (folder / "selftest.json").exists():
                print((done.stdout + done.stderr)[-2000:])  # noqa: T201
                return 1
        found.append(seen(json.loads((folder / "selftest.json").read_text("utf-8"))))
        one = found[-1]
        print(f"{one.fault}: {', '.join(one.rejecting)}{'; a single event too' if one.single else ''}", flush=True)  # noqa: T201
        arguments.to.write_text(page(found), "utf-8")
    arguments.to.write_text(page(found, left), "utf-8")
    return 1 if arguments.fault == "*" and too_few(found) else 0


if __name__ == "__main__":
    sys.exit(main())
