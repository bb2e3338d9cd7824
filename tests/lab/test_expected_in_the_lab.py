"""In the lab each balancer has the verdicts that are written down for it: all of its rows, judged in one run.

They are those of loopback wherever loopback can judge the row too, for targets run unchanged in both.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from limpet.reports.conformance import load as load_conformance

EXPECTED = Path(__file__).parents[1] / "expected"
NOBODY = re.compile(r"127\.0\.0\.1:1\b|\"port\" => 1\b")
ONLY_THERE = {"not checkable"}
"""What loopback says of a row that only a lab can judge."""


def _verdicts() -> ModuleType:
    path = EXPECTED / "verdicts.py"
    spec = importlib.util.spec_from_file_location("limpet_expected_verdicts_of_the_lab", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


verdicts = _verdicts()


def test_each_of_them_is_written_down_whole() -> None:
    written = verdicts.expected(verdicts.LAB)
    assert set(written) == set(verdicts.IN_THE_LAB)
    on_loopback = verdicts.expected()
    for target, rows in written.items():
        assert set(rows) == set(on_loopback[target]), target


def test_the_lab_says_what_loopback_says_wherever_both_can_judge() -> None:
    on_loopback = verdicts.expected()
    other = {
        (target, row): f"on loopback {on_loopback[target][row]}, in the lab {verdict}"
        for target, rows in verdicts.expected(verdicts.LAB).items()
        for row, verdict in rows.items()
        if verdict != on_loopback[target][row] and on_loopback[target][row] not in ONLY_THERE
    }
    assert not other


def test_each_row_that_is_not_checkable_there_has_a_reason_and_no_other_row_has_one() -> None:
    why = verdicts.expected_reasons(verdicts.LAB)
    for target, rows in verdicts.expected(verdicts.LAB).items():
        assert {name for name, verdict in rows.items() if verdict == "not checkable"} == set(why[target]), target


def test_verdicts_in_the_lab_are_the_expected_ones(filtered: None, tmp_path: Path) -> None:
    targets = [name for name in verdicts.IN_THE_LAB if verdicts.installed(name)]
    code, output, found = verdicts.run_in_the_lab(targets, tmp_path / "out")
    assert code == 0, output[-4000:]
    file = tmp_path / "out" / "conformance.json"
    assert {each.network for each in load_conformance(file).targets} == {"namespace"}
    assert set(found) == set(targets)
    why = verdicts.reasons(file)
    wrong = []
    for target in targets:
        beyond = verdicts.left_out(why.get(target, {}))
        pairs = (
            (verdicts.expected(verdicts.LAB)[target], found[target]),
            (verdicts.expected_reasons(verdicts.LAB)[target], why.get(target, {})),
        )
        for pair in pairs:
            want, got = ({name: said for name, said in rows.items() if name not in beyond} for rows in pair)
            wrong += [f"{target} {line}" for line in verdicts.differences(want, got)]
    assert not wrong, "\n".join([*wrong, *verdicts.played_again(file)])


@pytest.mark.parametrize("file", sorted((EXPECTED.parents[1] / "fixtures" / "targets" / "_shared").glob("*.j2")))
def test_templates_take_every_address_from_the_lab(file: Path) -> None:
    literal = [
        line.strip()
        for line in file.read_text("utf-8").splitlines()
        if ("127." in line or "[::1]" in line) and not line.lstrip().startswith(("#", "{#"))
    ]
    # Port 1 of loopback is nobody: a place that has to be written down, and is never reached.
    assert not [line for line in literal if not NOBODY.search(line)], literal
