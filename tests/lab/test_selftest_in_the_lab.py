"""`limpet selftest --network namespace` plays what only a lab shows, and says where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.cli.main import main
from limpet.harness.engine.collecting import behaviours
from limpet.harness.model.verdict import ExitCode
from limpet.harness.network import namespaces
from limpet.harness.selftest.coverage import read_selftest


def test_faults_that_loopback_cannot_show_are_rejected_in_a_lab(
    privileged: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = next(each for each in behaviours() if each.id == "network.forged-packets")
    monkeypatch.setitem(forged.test.__globals__, "FLOWS", 200)
    faults = ["--fault", "hops-are-part-of-the-key", "--fault", "addresses-unread-over-ipv6"]
    code = main(["selftest", "--network", "namespace", *faults, "--seed", "3", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert code == ExitCode.HELD, said
    found = read_selftest(tmp_path / "out" / "selftest.json")
    assert found.network == "namespace"
    assert {each.name for each in found.faults if each.rejected} == set(faults[1::2])
    tried = {(trial.behaviour, trial.right, trial.wrong) for each in found.faults for trial in each.trials}
    rows = {"network.forged-packets[ttl]", "network.ipv6[homes]"}
    assert tried == {(row, "held", "broken") for row in rows}


@pytest.mark.parametrize("more", ["--full", "--cover"])
def test_more_than_that_is_loopbacks(more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--network", "namespace", more, "--out", str(tmp_path)]) == ExitCode.USAGE
    assert "only what loopback cannot show" in capsys.readouterr().err


def test_without_privileges_it_says_what_is_lacking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "missing", lambda: "network namespaces need CAP_SYS_ADMIN")
    assert main(["selftest", "--network", "namespace", "--out", str(tmp_path / "out")]) == ExitCode.SETUP
    said = capsys.readouterr().err
    assert "CAP_SYS_ADMIN" in said and "--network loopback" in said
    assert not (tmp_path / "out").exists()
