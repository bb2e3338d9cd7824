from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest

from limpet.harness.engine import excuses
from limpet.harness.network.namespaces import missing, missing_filter

# Tests run without packages (--import-mode=importlib), so what they share is made importable by one odd name.
_spec = importlib.util.spec_from_file_location("limpet_lab_judging", Path(__file__).with_name("judging.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["limpet_lab_judging"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture(scope="session")
def privileged() -> None:
    """Skips where no lab can be made."""
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def filtered(privileged: None) -> None:
    """Skips where a lab can have no NAT gateways."""
    if reason := missing_filter():
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def accused_in_any_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are in here that lateness has no part in, and they are to be seen on a crowded machine too."""
    monkeypatch.setattr(excuses, "MOST", math.inf)
