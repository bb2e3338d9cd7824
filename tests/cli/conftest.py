from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests run without packages (--import-mode=importlib), so what they share is made importable by one odd name.
_spec = importlib.util.spec_from_file_location("limpet_cli_place", Path(__file__).with_name("place.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["limpet_cli_place"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[object]:
    (tmp_path / "here").mkdir()
    one = _module.new_place(tmp_path / "here")
    yield one
    _module.end_place(one)
