"""`make repeat` fails where a run did, whatever the verdicts were, and where any run said something else."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from limpet.harness.targets.load import load, names


@pytest.fixture
def repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("limpet_repeat", Path(__file__).with_name("repeat.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "KEPT", tmp_path / "limpet-repeat")
    return module


def played(repeat: ModuleType, monkeypatch: pytest.MonkeyPatch, *runs: dict[str, str], code: int = 0) -> int:
    """The status after runs with these verdicts on one target, of which only affinity.holds is written down."""
    following = iter(runs)
    verdicts = SimpleNamespace(
        run=lambda *_: (code, "said so", {"one": next(following)}),
        expected=lambda: {"one": {"affinity.holds": "held"}},
        names=lambda: ["one"],
        installed=lambda _: True,
        played_again=lambda *_: [],
    )
    monkeypatch.setattr(repeat, "_load_verdicts", lambda: verdicts)
    monkeypatch.setattr(sys, "argv", ["repeat", "--runs", str(len(runs)), "--busy", "0", "--target", "o*"])
    return repeat.main()


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (4, 1)])
def test_a_runs_exit_code_counts(
    repeat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, status: int
) -> None:
    assert played(repeat, monkeypatch, {"affinity.holds": "held"}, code=exit_code) == status
    written = (tmp_path / "docs" / "repeat.md").read_text()
    assert (f"exit code {exit_code}" in written.splitlines()[-1]) == bool(exit_code)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("held", "held"), ""),
        (("observed", "observed"), ""),
        (("held", "observed"), "held in an earlier run, got observed"),
        (("inconclusive", "inconclusive"), "chaos.soak: inconclusive"),
        (("broken", "held"), "chaos.soak: broken"),
    ],
)
def test_a_row_that_is_written_down_nowhere_is_compared_with_the_runs_before(
    repeat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdicts: tuple[str, ...], said: str
) -> None:
    runs = [{"affinity.holds": "held", "chaos.soak": verdict} for verdict in verdicts]
    assert played(repeat, monkeypatch, *runs) == bool(said)
    assert said in (tmp_path / "docs" / "repeat.md").read_text()


def test_a_row_that_is_gone_is_another_verdict(
    repeat: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"affinity.holds": "held", "chaos.soak": "held"}
    assert played(repeat, monkeypatch, both, {"affinity.holds": "held"}) == 1
    assert "chaos.soak: held in an earlier run, got nothing" in (tmp_path / "docs" / "repeat.md").read_text()


def test_a_glob_that_means_no_target_runs_nothing(repeat: ModuleType) -> None:
    with pytest.raises(SystemExit, match="nobody"):
        repeat.chosen(["nobody-*"], ["one"])


def test_chaos_is_played_in_every_mode_of_the_bundled_balancer(repeat: ModuleType) -> None:
    def mode(name: str) -> tuple[str, str, bool]:
        loaded = load(name)
        return loaded.contract.affinity, str(loaded.contract.layer), "udp" in name

    bundled = [name for name in names() if name.startswith("reference-")]
    assert set(repeat.MODES) <= set(bundled)
    assert {mode(name) for name in repeat.MODES} == {mode(name) for name in bundled}
