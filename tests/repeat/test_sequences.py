"""`make sequences` counts for a row only what nothing but such rows rejected."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def sequences(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("limpet_sequences", Path(__file__).with_name("sequences.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def document(name: str, *broken: str) -> dict[str, Any]:
    trials = [
        {"behaviour": each, "target": "one", "wrong": "broken" if each in broken else "held", "activated": True}
        for each in ("failover.rate", "chaos.soak", "failover.repins")
    ]
    return {"seed": 7, "faults": [{"name": name, "trials": trials}]}


def test_a_fault_that_a_single_event_shows_counts_for_no_row(sequences: ModuleType) -> None:
    found = [sequences.seen(document(f"f{n}", "failover.rate")) for n in range(3)]
    assert not any(each.startswith("failover.rate") for each in sequences.too_few(found))
    assert "chaos.soak: 0" in sequences.too_few(found)
    found[2] = sequences.seen(document("f2", "failover.rate", "failover.repins"))
    assert "failover.rate: 2" in sequences.too_few(found)
    assert "| `failover.repins` (one) |" in sequences.page(found)


def test_the_faults_are_those_that_name_such_rows_only(sequences: ModuleType) -> None:
    names = {fault.name for fault in sequences.candidates()}
    assert "overloaded-member-sends-users-away" in names and "others-move-on-failover" not in names
