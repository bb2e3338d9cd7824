"""Every bundled target has exactly the verdicts written down: a check that silently stops deciding fails CI."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from limpet.harness.targets.load import names


def _verdicts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("limpet_expected_verdicts", Path(__file__).with_name("verdicts.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


verdicts = _verdicts()
INSTALLED = [name for name in names() if verdicts.installed(name)]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, dict[str, dict[str, str]]]:
    result: tuple[int, str, dict[str, dict[str, str]]] = verdicts.run(INSTALLED, tmp_path_factory.mktemp("run") / "out")
    return result


def test_every_bundled_target_is_written_down() -> None:
    assert sorted(verdicts.expected()) == sorted(names())


@pytest.mark.parametrize("target", names())
def test_verdicts_are_the_expected_ones(target: str, outcome: tuple[int, str, dict[str, dict[str, str]]]) -> None:
    if target not in INSTALLED:
        pytest.skip(f"{target} is not installed here")
    lines = verdicts.differences(verdicts.expected()[target], outcome[2].get(target, {}))
    assert not lines, "\n".join(lines)


def test_nothing_is_undecided_anywhere(outcome: tuple[int, str, dict[str, dict[str, str]]]) -> None:
    undecided = {"inconclusive", "setup failed", "harness error"}
    found = [
        f"{target} {name}: {verdict}"
        for target, rows in outcome[2].items()
        for name, verdict in rows.items()
        if verdict in undecided
    ]
    assert not found, "\n".join(found)
    assert outcome[0] == 0, outcome[1][-2000:]
