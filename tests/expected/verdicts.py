"""The verdicts that each bundled target must have, and how to write them down anew.

``python tests/expected/verdicts.py`` runs every bundled target and rewrites the files; read the difference before
you commit it: each line of it is a change of what limpet says about somebody's balancer. Names of targets after it are
the only ones that are run and rewritten. With ``--lab`` as the first word it does the same for what is judged in a lab
of network namespaces (root), whose files are in ``namespace/``. Of a row that is *not checkable* the reason is written
down too, so that it never comes to be so for another one unnoticed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.load import load, names
from limpet.reports.conformance import load as load_conformance

HERE = Path(__file__).parent
LAB = HERE / "namespace"
"""What the same targets come to in a lab of network namespaces."""

IN_THE_LAB = (
    "reference-source-ip", "reference-tcp-source-ip", "reference-udp-source-ip", "reference-udp-flow", "nginx-ip-hash",
    "nginx-stream", "haproxy-source", "haproxy-tcp", "envoy-ring-hash-source", "nftables-jhash-source",
    "nftables-jhash-flow", "nftables-round-robin",
)  # fmt: skip
"""One of each way to go by addresses or flows, of each product, and what runs in a lab only."""

ALONE = 30.0
"""Seconds that a target may take besides what its longest scenario waits, on a machine that it has for itself."""

Verdicts = dict[str, dict[str, str]]
"""Target → behaviour (with its variant) → verdict."""
Reasons = dict[str, dict[str, str]]
"""Target → behaviour (with its variant) → why it is not checkable."""


def installed(target: str) -> bool:
    """Whether the target, and the session store where it has one, can be started here."""
    from limpet.harness.backends import redis_server
    from limpet.harness.targets.bundled import missing

    loaded = load(target)
    return not missing(loaded) and not (loaded.target.backends.sessions == "redis" and redis_server.missing())


def run(targets: Iterable[str], out: Path, *arguments: str, timeout: float = 2400) -> tuple[int, str, Verdicts]:
    """Exit code, output and verdicts of `limpet matrix` on these targets."""
    command = [sys.executable, "-m", "limpet.harness.cli.main", "matrix", "-q", "--out", str(out), *arguments]
    for target in targets:
        command += ["--only", target]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=out.parent)
    file, said = out / "conformance.json", ended.stdout + ended.stderr
    if not file.exists():
        raise RuntimeError(f"exit code {ended.returncode} without results: {said[-2000:]}")
    return ended.returncode, said, read(file)


def run_in_the_lab(targets: Iterable[str], out: Path, timeout: float = 1200) -> tuple[int, str, Verdicts]:
    """The same of one `limpet run` in a lab, of every behaviour but the lengthy ones."""
    from limpet.harness.engine.collecting import behaviours

    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--network", "namespace"]
    command += [word for name in targets for word in ("--target", name)]
    wanted = [each.id for each in behaviours() if not each.lengthy and each.id != "balancer.upgrade"]
    command += [word for name in wanted for word in ("--behaviour", name)]
    ended = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=timeout, cwd=out.parent
    )
    file = out / "conformance.json"
    return ended.returncode, ended.stdout + ended.stderr, read(file) if file.exists() else {}


def read(file: Path) -> Verdicts:
    """The verdicts in a conformance.json."""
    found: Verdicts = {}
    for result in load_conformance(file).results:
        found.setdefault(result.target, {})[result.name] = str(result.verdict)
    return found


def reasons(file: Path) -> Reasons:
    """Why rows in a conformance.json are not checkable."""
    found: Reasons = {}
    for result in load_conformance(file).results:
        if result.verdict is Verdict.NOT_CHECKABLE:
            found.setdefault(result.target, {})[result.name] = result.reason
    return found


def played_again(file: Path) -> list[str]:
    """One line for each row of a conformance.json that was undecided at first and played once more."""
    return [f"{each.key}: {each.verdict}, at first {each.at_first}" for each in load_conformance(file).results
            if each.at_first]  # fmt: skip


def longest_waits(file: Path) -> dict[str, tuple[str, float]]:
    """Of each target in a conformance.json the scenario that waited longest, and for how many seconds."""
    found: dict[str, tuple[str, float]] = {}
    for result in load_conformance(file).results:
        if result.waited > found.get(result.target, ("", -1.0))[1]:
            found[result.target] = result.name, result.waited
    return found


def timing(matrix: Mapping[str, Any], waits: Mapping[str, tuple[str, float]]) -> list[str]:
    """How long a run took, beside the sum of its waits, and what its slowest targets would take alone.

    Args:
        matrix: a matrix.json.
        waits: as `longest_waits`.
    """
    lines = [f"wall {matrix['wall']:.0f} s; all its waits, one after the other, {matrix['waited']:.0f} s"]
    seconds = {each["target"]: each["seconds"] for each in matrix["targets"]}
    for name in matrix["slowest"]:
        scenario, waited = waits[name]
        lines.append(
            f"slow: {name} took {seconds[name]:.0f} s beside all the others; alone it may take {waited + ALONE:.0f} s, "
            f"{ALONE:.0f} s more than {scenario} waits"
        )
    return lines


def expected(folder: Path | None = None) -> Verdicts:
    """What is written down, on loopback unless another folder is named."""
    return {path.stem: tomllib.loads(path.read_text())["verdicts"] for path in sorted((folder or HERE).glob("*.toml"))}


def expected_reasons(folder: Path | None = None) -> Reasons:
    """The reasons that are written down."""
    files = sorted((folder or HERE).glob("*.toml"))
    return {path.stem: tomllib.loads(path.read_text()).get("reasons", {}) for path in files}


def differences(want: dict[str, str], got: dict[str, str]) -> list[str]:
    """One line for each behaviour whose verdict is not the expected one."""
    return [
        f"{name}: expected {want.get(name, 'nothing')}, got {got.get(name, 'nothing')}"
        for name in sorted(want.keys() | got.keys())
        if want.get(name) != got.get(name)
    ]


def left_out(why: dict[str, str]) -> set[str]:
    """The rows that this machine, and not the target, does not allow: they say nothing about what is written down."""
    return {name for name, reason in why.items() if reason.startswith("this machine ")}


def write(verdicts: Verdicts, why: Reasons, folder: Path | None = None) -> None:
    """Writes the files anew."""
    where = "" if folder is None else " in a lab"
    tool = "verdicts.py" if folder is None else "verdicts.py --lab"
    for target, rows in verdicts.items():
        lines = [
            f"# Every behaviour's verdict on {target}{where}. "
            f"Written by {tool}; read each change before committing it.",
            "",
            "[verdicts]",
            *_lines(rows),
        ]
        if why.get(target):
            lines += ["", "[reasons]", *_lines(why[target])]
        ((folder or HERE) / f"{target}.toml").write_text("\n".join(lines) + "\n")


def _lines(rows: dict[str, str]) -> list[str]:
    """Keys and values of a TOML table; a JSON string is one of TOML too."""
    return [
        f"{msgspec.json.encode(name).decode()} = {msgspec.json.encode(rows[name]).decode()}" for name in sorted(rows)
    ]


def main(words: Sequence[str]) -> int:
    """Runs all, or those that are wanted, and writes."""
    lab = list(words[:1]) == ["--lab"]
    folder = LAB if lab else None
    targets = [name for name in words[lab:] or (IN_THE_LAB if lab else names()) if installed(name)]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        code, output, verdicts = (run_in_the_lab if lab else run)(targets, out)
        why = reasons(out / "conformance.json")
    for target, rows in verdicts.items():
        old = expected(folder).get(target, {})
        for line in differences(old, rows):
            print(f"{target} {line}")  # noqa: T201 - a tool for the terminal
    write(verdicts, why, folder)
    print(f"exit code of the run: {code}", output[-300:] if code else "")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
