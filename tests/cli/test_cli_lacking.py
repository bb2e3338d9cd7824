"""What people are told where this machine lacks what they ask for: the reason, what to do, and all else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.cli.main import main
from limpet.harness.containers import engine, existing
from limpet.harness.engine.lab import Lab
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.verdict import ExitCode, Result, Verdict
from limpet.harness.network import namespaces
from limpet.harness.targets.load import load
from limpet.reports.conformance import load as load_conformance

RUNNING = """
name = "shop"
profile = "reference/lb-cookie-idle"

[endpoint]
url = "http://{host}:{port}"

[backends]
owner = "yours"
identity = {{ header = "Limpet-Backend" }}
"""
MEMBER = """
[[backends.member]]
name = "{name}"
container = "shop-{name}"
host = "{host}"
port = {port}
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    caches = (namespaces.missing, engine._missing, existing._absent)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_capable", lambda _bit: False)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A balancer that somebody else runs, before backends that are said to be containers."""
    loaded = load("reference-lb-cookie-idle")
    with Lab(1, [loaded]) as lab:
        theirs = lab.deployment(loaded)
        theirs.start()
        place = tmp_path / "shop"
        place.mkdir()
        text = RUNNING.format(host=theirs.target.host, port=theirs.target.port)
        for each in theirs.target.members:
            text += MEMBER.format(name=each.name, host=each.host, port=each.port)
        (place / "target.toml").write_text(text, "utf-8")
        yield place


def rows(out: Path) -> dict[str, Result]:
    return {each.behaviour: each for each in load_conformance(out / "conformance.json").results}


def judged(shop: Path, tmp_path: Path) -> dict[str, Result]:
    out = tmp_path / "out"
    words = ["run", "--target", str(shop), "--out", str(out), "--behaviour", "failover.repins"]
    assert main([*words, "--behaviour", "affinity.holds-across-connections"]) == ExitCode.HELD
    return rows(out)


def test_without_privileges_a_lab_is_refused_before_anything_is_built(
    unprivileged: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--network", "namespace", "--target", "reference-source-ip", "--out", str(tmp_path / "out")]
    assert main(words) == ExitCode.SETUP
    said = capsys.readouterr().err
    assert "network namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN, which this user does not have" in said
    assert "Run as root, or leave it at --network loopback." in said
    assert not (tmp_path / "out").exists()


def test_a_balancer_that_runs_already_is_no_part_of_a_lab(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "missing", lambda: "")
    words = ["run", "--network", "namespace", "--target", str(shop), "--out", str(tmp_path / "out")]
    assert main(words) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "shop runs outside of the lab" in said and "--network loopback" in said


def test_without_an_engine_containers_are_left_alone_and_all_else_is_judged(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    found = judged(shop, tmp_path)
    assert found["failover.repins"].verdict is Verdict.NOT_CHECKABLE
    assert "no container engine answers" in found["failover.repins"].reason
    assert "docker" in found["failover.repins"].reason, "and what to do"
    assert found["affinity.holds-across-connections"].verdict is Verdict.HELD


def test_a_container_that_is_not_there_is_named_and_all_else_is_judged(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        """An engine that has no container at all."""

        def state(self, _container: str) -> None:
            return None

    none_there = existing.Existing.__new__(existing.Existing)
    none_there._engine = Empty()  # type: ignore[assignment]
    monkeypatch.setattr(existing, "missing", lambda: "")
    monkeypatch.setattr(existing, "engine", lambda: none_there)
    with pytest.raises(SetupFault, match="no container of this name"):
        none_there.find("shop-b1")
    found = judged(shop, tmp_path)
    row = found["failover.repins"]
    assert row.verdict is Verdict.NOT_CHECKABLE
    assert row.reason.startswith("shop-b1: there is no container of this name") and "docker ps -a" in row.reason
    assert found["affinity.holds-across-connections"].verdict is Verdict.HELD
