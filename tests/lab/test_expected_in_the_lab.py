"""In the lab each balancer has the verdicts that it has on loopback: targets run there unchanged.

What runs in a lab only has its verdicts in ``tests/expected/namespace``. The rows of `BEHAVIOURS` are compared.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import load
from limpet.reports.conformance import load as load_conformance

EXPECTED = Path(__file__).parents[1] / "expected"
TARGETS = (
    "reference-source-ip", "reference-tcp-source-ip", "reference-udp-source-ip", "nginx-ip-hash", "nginx-stream",
    "haproxy-source", "haproxy-tcp", "envoy-ring-hash-source", "nftables-jhash-source", "nftables-jhash-flow",
    "nftables-round-robin",
)  # fmt: skip
NOBODY = re.compile(r"127\.0\.0\.1:1\b|\"port\" => 1\b")
BEHAVIOURS = ("affinity.*", "network.tcp", "network.udp", "network.source-port", "failover.repins")


ALONE = {file.stem for file in (EXPECTED / "namespace").glob("*.toml")}


def wanted(target: str) -> dict[str, str]:
    """The verdicts written down: those on loopback, unless it runs in a lab only."""
    folder = EXPECTED / "namespace" if target in ALONE else EXPECTED
    verdicts: dict[str, str] = tomllib.loads((folder / f"{target}.toml").read_text())["verdicts"]
    return verdicts


def test_what_runs_in_a_lab_only_has_its_verdicts_written_down() -> None:
    for target in ALONE:
        assert target in TARGETS
        on_loopback = tomllib.loads((EXPECTED / f"{target}.toml").read_text())["verdicts"]
        assert set(wanted(target)) == {name for name, verdict in on_loopback.items() if verdict == "not checkable"}


def test_verdicts_are_those_of_loopback(filtered: None, tmp_path: Path) -> None:
    targets = [name for name in TARGETS if not missing(load(name))]
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--network", "namespace"]
    command += [word for name in targets for word in ("--target", name)]
    command += [word for glob in BEHAVIOURS for word in ("--behaviour", glob)]
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    found = load_conformance(tmp_path / "out" / "conformance.json")
    assert {each.network for each in found.targets} == {"namespace"}
    wrong = []
    for result in found.results:
        name = f"{result.behaviour}[{result.variant}]" if result.variant else result.behaviour
        want = wanted(result.target).get(name, "not promised" if result.target in ALONE else None)
        if want != str(result.verdict):
            wrong.append(f"{result.target} {name}: on loopback {want}, in the lab {result.verdict}: {result.reason}")
    assert len(found.results) > 5 * len(targets)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", sorted((EXPECTED.parents[1] / "fixtures" / "targets" / "_shared").glob("*.j2")))
def test_templates_take_every_address_from_the_lab(file: Path) -> None:
    literal = [
        line.strip()
        for line in file.read_text("utf-8").splitlines()
        if ("127." in line or "[::1]" in line) and not line.lstrip().startswith(("#", "{#"))
    ]
    # Port 1 of loopback is nobody: a place that has to be written down, and is never reached.
    assert not [line for line in literal if not NOBODY.search(line)], literal
