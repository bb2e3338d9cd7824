"""The chaos rows, which surveys of many targets leave out, are held by the right balancer and by real ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import load
from limpet.reports.conformance import load as load_conformance

ROWS = ("chaos.random-walk", "chaos.soak", "chaos.steady-state")
REFERENCE = (
    "reference-lb-cookie-idle",
    "reference-app-cookie",
    "reference-source-ip",
    "reference-header",
    "reference-url",
    "reference-tcp-source-ip",
)
REAL = (
    "nginx-sticky-cookie",
    "haproxy-cookie-insert",
    "envoy-stateful-cookie",
    "traefik-sticky-cookie",
    "caddy-cookie",
)


def judged(targets: tuple[str, ...], out: Path) -> dict[str, str]:
    """The verdict of each chaos row on each target."""
    command = [
        sys.executable,
        "-m",
        "limpet.harness.cli.main",
        "run",
        "-q",
        "--out",
        str(out),
        "--behaviour",
        "chaos.*",
    ]
    for each in targets:
        command += ["--target", each]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=out.parent)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    found = load_conformance(out / "conformance.json").results
    return {f"{each.target} {each.behaviour}": str(each.verdict) for each in found}


@pytest.mark.parametrize(
    "group", [REFERENCE, pytest.param(REAL, marks=pytest.mark.balancers)], ids=["reference", "real"]
)
def test_every_row_is_held(group: tuple[str, ...], tmp_path: Path) -> None:
    targets = tuple(each for each in group if not missing(load(each)))
    if not targets:
        pytest.skip("none of these balancers is installed: pip install 'limpet[balancers]'")
    verdicts = judged(targets, tmp_path / "out")
    assert verdicts == {f"{target} {row}": str(Verdict.HELD) for target in targets for row in ROWS}
