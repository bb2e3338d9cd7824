"""A walk of a target that is of a lab only is played again in one."""

from __future__ import annotations

from pathlib import Path

from limpet.harness.cli.main import main
from limpet.harness.model.verdict import ExitCode
from limpet.reports.conformance import load

WALK = """limpet-walk = 1
target = "nftables-jhash-source"
affinity = "source-ip"
step = [
    { do = "visit", users = [1, 2] },
    { do = "visit", users = [2, 1] },
]
"""


def test_rules_of_nftables_are_judged_by_a_walk(filtered: None, tmp_path: Path) -> None:
    file = tmp_path / "walk.toml"
    file.write_text(WALK)
    out = tmp_path / "out"
    assert main(["replay", str(file), "--network", "namespace", "--out", str(out)]) == ExitCode.HELD
    report = load(out / "conformance.json")
    (row,) = report.results
    assert row.decided and row.steps
    assert "--network namespace" in (out / "report.html").read_text("utf-8")
