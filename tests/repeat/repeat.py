"""Runs bundled targets again and again, each time with another seed, every second time beside busy loops.

``make repeat`` (minutes, not part of `make test`). The verdicts must be the same every time and none undecided. Writes
what it saw to ``docs/repeat.md`` with the date, and keeps the report of a run that was not like the others in
``limpet-repeat``. ``make repeat ARGS=--chaos`` plays the rows in which several things go wrong on the bundled balancer
in each of its modes, over 20 seeds, and writes ``docs/repeat-chaos.md``.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import importlib.util
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

CHAOS = (
    "chaos.*", "failover.rate", "fairness.skew", "fairness.scale-out-lag", "membership.rolling-deploy",
)  # fmt: skip
"""Rows in which several things go wrong, or many users are there."""
MODES = (
    "reference-app-cookie", "reference-cookie-prefix", "reference-cookie-rewrite", "reference-cookie-route",
    "reference-header", "reference-header-minted", "reference-lb-cookie-absolute",
    "reference-lb-cookie-absolute-balancer", "reference-lb-cookie-https", "reference-lb-cookie-idle",
    "reference-least-connections", "reference-round-robin", "reference-shared-sessions",
    "reference-source-hash-consistent", "reference-source-hash-modulo", "reference-source-ip",
    "reference-source-ip-proxy", "reference-tcp-flow", "reference-tcp-source-ip", "reference-tls-session-id",
    "reference-udp-flow", "reference-udp-source-ip", "reference-url",
)  # fmt: skip
"""One target for each mode of the bundled balancer. Its other targets have one of these modes with other settings:
another header that tells the client's address, another clock, what a cloud sells it as. ``--target 'reference-*'`` has
them all."""

KEPT = ROOT / "limpet-repeat"
"""Where the report of a run stays, under its seed, that was not like the others: it may not happen again for hours."""

UNDISPUTED = ("held", "observed", "not promised", "not checkable")
"""What a row may be that no file of tests/expected names: a lengthy one is in none, because surveys leave it out."""


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


def _cpu() -> float:
    """Seconds of CPU time of everything that was started here and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def meant(rows: Mapping[str, str], globs: Iterable[str]) -> dict[str, str]:
    """The rows of these behaviours, with all of their variants."""
    return {
        name: verdict
        for name, verdict in rows.items()
        if any(fnmatch.fnmatchcase(name.partition("[")[0], glob) or name == glob for glob in globs)
    }


def unlike(want: Mapping[str, str], got: Mapping[str, str], before: dict[str, str]) -> list[str]:
    """One line for each row of a target whose verdict is another one than it has to be.

    Args:
        want: what is written down.
        got: what this run said.
        before: what earlier runs said of rows that are written down nowhere; this run's are added.
    """
    found = [
        f"{name}: expected {verdict}, got {got.get(name, 'nothing')}"
        for name, verdict in sorted(want.items())
        if got.get(name) != verdict
    ]
    for name in sorted(got.keys() - want.keys()):
        first = before.setdefault(name, got[name])
        if got[name] not in UNDISPUTED:
            found.append(f"{name}: {got[name]}")
        elif got[name] != first:
            found.append(f"{name}: {first} in an earlier run, got {got[name]}")
    found += [f"{name}: {verdict} in an earlier run, got nothing"
              for name, verdict in sorted(before.items()) if name not in got]  # fmt: skip
    return found


def chosen(globs: Sequence[str], known: Sequence[str]) -> list[str]:
    """The targets of these names, in the order of the globs.

    Raises:
        SystemExit: a glob means none of them; nothing was run.
    """
    found: dict[str, None] = {}
    for glob in globs:
        names = [name for name in known if fnmatch.fnmatchcase(name, glob)]
        if not names:
            sys.exit(f"repeat: no bundled target that can be started here is called {glob}")
        found.update(dict.fromkeys(names))
    return list(found)


def by_row(counts: Mapping[str, Counter[str]], runs: int) -> list[str]:
    """A table with a line for each behaviour: on how many targets it said what.

    Args:
        counts: behaviour → verdict → how often, over all targets and runs.
        runs: how many runs there were.
    """
    lines = [f"| row | verdicts over {runs} run{'s' * (runs > 1)}, all targets |", "|---|---|"]
    for name, verdicts in sorted(counts.items()):
        said = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
        lines.append(f"| `{name}` | {said} |")
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chaos", action="store_true", help="the rows of several events, each mode, 20 quiet runs")
    parser.add_argument("--runs", type=int, help="default: 10")
    parser.add_argument("--busy", type=int, help="busy loops beside every second run; default: 4")
    parser.add_argument("--target", action="append", metavar="GLOB", help="default: every one that can be started here")
    parser.add_argument("--behaviour", action="append", metavar="GLOB", help="only these; default: all")
    parser.add_argument("--to", type=Path, help="where the page goes; default: docs/repeat.md")
    parser.add_argument("--limit", type=float, default=900, help="seconds that a run may take")
    found = parser.parse_args()
    presets: dict[str, Any] = {"runs": 10, "busy": 4, "to": ROOT / "docs" / "repeat.md"}
    if found.chaos:
        presets = {"runs": 20, "busy": 0, "to": ROOT / "docs" / "repeat-chaos.md", "target": [*MODES],
                   "behaviour": [*CHAOS]}  # fmt: skip
    for name, value in presets.items():
        if getattr(found, name) is None:
            setattr(found, name, value)
    return found


def main() -> int:
    """Returns 0 when all runs agreed and each exited with 0."""
    arguments = _arguments()
    verdicts = _load_verdicts()
    globs = arguments.behaviour or ["*"]
    only = [word for glob in arguments.behaviour or () for word in ("--behaviour", glob)]
    there = [name for name in verdicts.names() if verdicts.installed(name)]
    targets = chosen(arguments.target or ["*"], there)
    lines: list[str] = []
    wrong: list[str] = []
    twice: list[str] = []
    before: dict[str, dict[str, str]] = {}
    counts: dict[str, Counter[str]] = {}
    for number in range(arguments.runs):
        seed = random.SystemRandom().randrange(10**9)
        busy = arguments.busy if number % 2 else 0
        loops = [
            multiprocessing.Process(target=_spin, args=(time.monotonic() + arguments.limit,), daemon=True)
            for _ in range(busy)
        ]
        begin, spent = time.monotonic(), _cpu()
        for loop in loops:
            loop.start()
        try:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                code, output, seen = verdicts.run(targets, out, "--seed", str(seed), *only)
                spent = _cpu() - spent  # the loops are not over yet, and do not count
                again = verdicts.played_again(out / "conformance.json")
                written = verdicts.expected()
                found = [
                    f"seed {seed} {target} {line}"
                    for target in targets
                    for line in unlike(
                        meant(written.get(target, {}), globs), seen.get(target, {}), before.setdefault(target, {})
                    )
                ]
                if (found or code) and out.is_dir():
                    shutil.copytree(out, KEPT / str(seed), dirs_exist_ok=True)
        finally:
            for loop in loops:
                loop.terminate()
                loop.join()
        wall = time.monotonic() - begin
        for target in targets:
            for name, verdict in seen.get(target, {}).items():
                counts.setdefault(name.partition("[")[0], Counter())[verdict] += 1
        rows = sum(len(rows) for rows in seen.values())
        line = (
            f"| {number + 1} | {seed} | {busy} | {rows} | {len(found)} | {len(again)} | {code} | {wall:.0f} | "
            f"{spent:.0f} |"
        )
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
        # After each run: whoever ends a series of half an hour early has what was seen by then.
        arguments.to.write_text(_page(arguments, targets, lines, wrong, twice, counts))
    return 1 if wrong else 0


def _page(
    arguments: argparse.Namespace,
    targets: Sequence[str],
    lines: Sequence[str],
    wrong: Sequence[str],
    twice: Sequence[str],
    counts: Mapping[str, Counter[str]],
) -> str:
    """What was seen in all runs so far."""
    named = f", {' and '.join(f'`{glob}`' for glob in arguments.behaviour)} only" if arguments.behaviour else ""
    named += f" ({', '.join(targets)})" if arguments.target else ""
    today = datetime.datetime.now(datetime.UTC).date()
    command = f"make repeat{' ARGS=--chaos' * arguments.chaos}"
    short = f" {len(lines)} of {arguments.runs} runs." if len(lines) < arguments.runs else ""
    text = [
        f"# Repeated runs{': several things at once' * arguments.chaos}", "",
        f"Written by `{command}` on {today}, {os.cpu_count()} cores.{short} Each run judges {len(targets)} bundled "
        f"targets with a seed of its own{named}; compared with `tests/expected`, and rows that are in no file there "
        "(lengthy ones) with the runs before.", "",
        "| run | seed | busy loops beside it | rows | rows with another verdict | played twice | exit code | seconds "
        "| CPU seconds |",
        "|---|---|---|---|---|---|---|---|---|", *lines, "",
        *(wrong or ["No row had another verdict in any run, none was undecided, and every run exited with 0."]),
        *(["", "Played a second time, by themselves (docs/verdicts.md):", ""] if twice else []),
        *(f"- {row}" for row in twice),
        *(["", *by_row(counts, len(lines)), "", f"Targets: {', '.join(f'`{name}`' for name in targets)}."]
          if arguments.behaviour else []),
    ]  # fmt: skip
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
