"""The rows about who the client is decide something on the right balancer; those that loopback cannot carry say why."""

from __future__ import annotations

import subprocess
import sys

import pytest

from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.conformance import load

TARGETS = (
    "reference-source-ip",
    "reference-lb-cookie-idle",
    "reference-tcp-source-ip",
    "reference-source-ip-rfc7239",
    "reference-source-ip-real-ip",
    "reference-source-ip-proxy",
)
ROWS = ("nat-shared", "nat-pool", "ipv6", "personas", "forwarded-for", "proxy-protocol")
STORIES = {f"network.personas[{name}]" for name in ("office", "phone", "vpn", "corporate-proxies")}
EDGE = {"network.personas[dual-stack]"}
NAT = {"network.nat-shared", "network.nat-pool"}
HEADER = {f"network.forwarded-for[{name}]" for name in ("trusted", "untrusted", "other-headers")}
PATH = {f"network.forwarded-for[{name}]" for name in ("chain", "forged-behind-a-proxy")}
PROXY = {f"network.proxy-protocol[{name}]" for name in ("v1", "v2", "untrusted-v1", "untrusted-v2")}
TOLD = {"network.ipv6[told]", "network.ipv6[told-privacy]"}
HELD = {
    "reference-source-ip": NAT | STORIES,
    "reference-lb-cookie-idle": NAT | STORIES | {"network.ipv6[pins]"},
    "reference-tcp-source-ip": NAT | STORIES,
    "reference-source-ip-rfc7239": NAT | STORIES | EDGE | HEADER | PATH | TOLD,
    "reference-source-ip-real-ip": NAT | STORIES | EDGE | HEADER | TOLD,
    "reference-source-ip-proxy": NAT | STORIES | PROXY | TOLD,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    out = tmp_path_factory.mktemp("who") / "out"
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--seed", "6", "--out", str(out)]
    command += [word for name in TARGETS for word in ("--target", name)]
    command += [word for name in ROWS for word in ("--behaviour", f"network.{name}")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=out.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return list(load(out / "conformance.json").results)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_held(target: str, results: list[Result]) -> None:
    mine = [each for each in results if each.target == target]
    assert {each.name for each in mine if each.verdict is Verdict.HELD} == HELD[target]
    for each in mine:
        assert each.verdict in (Verdict.HELD, Verdict.NOT_CHECKABLE, Verdict.NOT_PROMISED), each.name
        assert each.requests - each.elsewhere <= (each.budget or 0)
        if each.verdict is Verdict.HELD and each.sees is not None and each.smallest_visible is not None:
            assert each.smallest_visible <= each.sees, each.name
        if each.verdict is Verdict.NOT_CHECKABLE:
            assert "loopback has one IPv6 address only" in each.reason


def test_a_persona_is_a_story(results: list[Result]) -> None:
    def told(target: str) -> str:
        wanted = (target, "network.personas[phone]")
        return "\n".join(step.text for each in results if (each.target, each.name) == wanted for step in each.steps)

    kept, placed = told("reference-lb-cookie-idle"), told("reference-source-ip")
    for place in ("on the sofa", "on the street", "on the train", "in a cafe", "back on the sofa"):
        assert place in kept
        assert place in placed
    assert "into the cart" in kept
    assert "logged out" not in kept
    assert kept.count("login and cart are there") == 7
    # At home again the address has its old pin, and behind it are login and cart.
    assert "login and cart are there" in placed.splitlines()[-1]
    assert "into the cart" not in told("reference-tcp-source-ip")


def test_what_happened_is_told(results: list[Result]) -> None:
    pool = next(
        each for each in results if each.name == "network.nat-pool" and each.target == "reference-lb-cookie-idle"
    )
    assert "48 of 48 connections by changing addresses met their user's backend" in "; ".join(pool.observations)
