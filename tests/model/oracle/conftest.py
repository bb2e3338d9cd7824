from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# Tests run without packages (--import-mode=importlib), so the simulation is made importable by one odd name each.
for _name in ("limpet_oracle_balancer", "limpet_oracle_simulation", "limpet_oracle_story", "limpet_oracle_tale"):
    _file = Path(__file__).with_name(_name.removeprefix("limpet_oracle_") + ".py")
    _spec = importlib.util.spec_from_file_location(_name, _file)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_name] = _module
    _spec.loader.exec_module(_module)

from limpet_oracle_tale import Tale  # noqa: E402 - importable only from here on


@pytest.fixture
def tale() -> Tale:
    return Tale()


@pytest.fixture
def pinned(tale: Tale) -> Tale:
    """Client x holds the value k of backend a."""
    tale.ask(0.0, None, "a", sets="k")
    tale.ask(1.0, "k", "a")
    return tale
