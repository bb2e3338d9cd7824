"""Runs all bundled targets again and again, each time with another seed, every second time beside busy loops.

``make repeat`` (minutes, not part of `make test`). The verdicts must be the same every time and none undecided. Writes
what it saw to ``docs/repeat.md`` with the date. Some behaviours alone, and a page of their own:
``make repeat ARGS="--runs 20 --behaviour 'chaos.*' --to docs/repeat-chaos.md"``.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import importlib.util
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _load_verdicts():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(
        "limpet_expected_verdicts", ROOT / "tests" / "expected" / "verdicts.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _spin(stop: float) -> None:
    while time.monotonic() < stop:
        pass


def _meant(rows: dict[str, str], globs: list[str]) -> dict[str, str]:
    """The expected rows of these behaviours, with all of their variants."""
    return {
        name: verdict
        for name, verdict in rows.items()
        if any(fnmatch.fnmatchcase(name.partition("[")[0], glob) or name == glob for glob in globs)
    }


def main() -> int:
    """Returns 0 when all runs agreed and each exited with 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--busy", type=int, default=4, help="busy loops beside every second run")
    parser.add_argument("--target", action="append", help="default: every bundled target that can be started here")
    parser.add_argument("--behaviour", action="append", metavar="GLOB", help="only these; default: all")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "repeat.md", help="where the page goes")
    parser.add_argument("--limit", type=float, default=900, help="seconds that a run may take")
    arguments = parser.parse_args()
    verdicts = _load_verdicts()
    globs = arguments.behaviour or ["*"]
    only = [word for glob in arguments.behaviour or () for word in ("--behaviour", glob)]
    targets = arguments.target or [name for name in verdicts.names() if verdicts.installed(name)]
    lines: list[str] = []
    wrong: list[str] = []
    twice: list[str] = []
    for number in range(arguments.runs):
        seed = random.SystemRandom().randrange(10**9)
        busy = arguments.busy if number % 2 else 0
        loops = [
            multiprocessing.Process(target=_spin, args=(time.monotonic() + arguments.limit,), daemon=True)
            for _ in range(busy)
        ]
        for loop in loops:
            loop.start()
        begin = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                code, output, seen = verdicts.run(targets, Path(folder) / "out", "--seed", str(seed), *only)
                again = verdicts.played_again(Path(folder) / "out" / "conformance.json")
        finally:
            for loop in loops:
                loop.terminate()
        wall = time.monotonic() - begin
        found = [
            f"seed {seed} {target} {line}"
            for target in targets
            for line in verdicts.differences(_meant(verdicts.expected().get(target, {}), globs), seen.get(target, {}))
        ]
        rows = sum(len(rows) for rows in seen.values())
        line = f"| {number + 1} | {seed} | {busy} | {rows} | {len(found)} | {len(again)} | {code} | {wall:.0f} |"
        print(line, flush=True)  # noqa: T201 - a tool for the terminal
        for said in (*found, *again):
            print("  " + said, flush=True)  # noqa: T201
        if code and not found:
            print(output[-1500:])  # noqa: T201
        if code:
            found.append(f"seed {seed}: exit code {code}")
        lines.append(line)
        wrong += found
        twice += again
    chosen = f", {' and '.join(f'`{glob}`' for glob in arguments.behaviour)} only" if arguments.behaviour else ""
    named = f" ({', '.join(targets)})" if arguments.target else ""
    today = datetime.datetime.now(datetime.UTC).date()
    text = [
        "# Repeated runs", "",
        f"Written by `make repeat` on {today}, {os.cpu_count()} cores. Each run judges {len(targets)} bundled targets"
        f"{named} with a seed of its own{chosen}; compared with `tests/expected`.", "",
        "| run | seed | busy loops beside it | rows | rows with another verdict | played twice | exit code | seconds |",
        "|---|---|---|---|---|---|---|---|", *lines, "",
        *(wrong or ["No row had another verdict in any run, none was undecided, and every run exited with 0."]),
        *(["", "Played a second time, by themselves (docs/verdicts.md):", ""] if twice else []),
        *(f"- {row}" for row in twice),
    ]  # fmt: skip
    arguments.to.write_text("\n".join(text) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
