"""`make repeat` fails where a run did, also when every verdict was the expected one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (4, 1)])
def test_a_runs_exit_code_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, status: int) -> None:
    spec = importlib.util.spec_from_file_location("limpet_repeat", Path(__file__).with_name("repeat.py"))
    assert spec is not None and spec.loader is not None
    repeat = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(repeat)
    agreed = {"one": {"affinity.holds": "held"}}
    verdicts = SimpleNamespace(
        run=lambda *_: (exit_code, "said so", agreed),
        expected=lambda: agreed,
        differences=lambda *_: [],
        played_again=lambda *_: [],
    )
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(repeat, "ROOT", tmp_path)
    monkeypatch.setattr(repeat, "_load_verdicts", lambda: verdicts)
    monkeypatch.setattr(sys, "argv", ["repeat", "--runs", "1", "--target", "one"])
    assert repeat.main() == status
    written = (tmp_path / "docs" / "repeat.md").read_text()
    assert (f"exit code {exit_code}" in written.splitlines()[-1]) == bool(exit_code)
