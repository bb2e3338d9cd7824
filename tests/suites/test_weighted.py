"""Backends of very different weight: a right balancer gives the small one little, and nobody is accused of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from limpet.harness.model.verdict import Verdict
from limpet.reports.conformance import load

TARGETS = Path(__file__).parents[2] / "fixtures" / "targets"
BEHAVIOURS = ("affinity.no-key*", "affinity.new*", "failover.recovery", "invalidation.no-cookie", "membership.*")


@pytest.mark.parametrize("weights", ["[1, 1, 9]", "[1, 30, 30]"])
def test_a_small_share_is_no_fault(tmp_path: Path, weights: str) -> None:
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--seed", "2", "--out", "out"]
    shutil.copytree(TARGETS / "_shared", tmp_path / "_shared")
    for name in ("reference-round-robin", "reference-lb-cookie-idle"):
        shutil.copytree(TARGETS / name, tmp_path / name)
        file = tmp_path / name / "target.toml"
        text = file.read_text()
        assert "count = 3\n" in text
        file.write_text(text.replace("count = 3\n", f"weights = {weights}\n"))
        command += ["--target", str(tmp_path / name)]
    for each in BEHAVIOURS:
        command += ["--behaviour", each]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = load(tmp_path / "out" / "conformance.json").results
    assert {each.behaviour for each in results if each.verdict is Verdict.HELD} >= {
        "affinity.new-sessions-spread",
        "membership.added-gets-traffic",
        "failover.recovery",
    }
    assert [each.name for each in results if each.verdict in (Verdict.BROKEN, Verdict.INCONCLUSIVE)] == []
