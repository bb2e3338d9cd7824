"""The bundled catalogue files, parsed once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from limpet.harness.model.contract import Catalogue
from limpet.harness.model.contract.validation import parse

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "suites" / "catalogue"
_MARK = re.compile(r"@behaviour\(\s*[\"']([^\"']+)[\"']")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def catalogues() -> dict[str, Catalogue]:
    """Each catalogue file by its stem."""
    return {
        path.stem: parse(Catalogue, tomllib.loads(path.read_text(encoding="utf-8")), where=str(path))
        for path in sorted(CATALOGUE.glob("*.toml"))
    }


@pytest.fixture(scope="session")
def known_behaviours() -> frozenset[str]:
    """The ids of all checks in the suites; skips where none is written yet."""
    found = {
        name for path in (ROOT / "suites").rglob("*.py") for name in _MARK.findall(path.read_text(encoding="utf-8"))
    }
    if not found:
        pytest.skip("the suites hold no behaviour yet")
    return frozenset(found)
