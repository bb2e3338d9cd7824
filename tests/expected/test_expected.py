"""Every bundled target has exactly the verdicts written down: a check that silently stops deciding fails CI."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from limpet.harness.model.verdict import Result
from limpet.harness.targets.load import names
from limpet.reports.conformance import load as load_conformance


def _verdicts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("limpet_expected_verdicts", Path(__file__).with_name("verdicts.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


verdicts = _verdicts()
WORTH_SAYING = re.compile(r"[0-9]+ products?, |slowest|held|exit|broken")
INSTALLED = [name for name in names() if verdicts.installed(name)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "out"


def _results(out: Path) -> Sequence[Result]:
    return load_conformance(out / "conformance.json").results


@pytest.fixture(scope="module")
def outcome(out: Path, log: list[str]) -> tuple[int, str, dict[str, dict[str, str]]]:
    result: tuple[int, str, dict[str, dict[str, str]]] = verdicts.run(INSTALLED, out)
    # What was compared, how long it took and who was slowest belongs into the log of every run.
    log += [line for line in result[1].splitlines() if WORTH_SAYING.match(line)]
    matrix = json.loads((out / "matrix.json").read_text("utf-8"))
    log += verdicts.timing(matrix, verdicts.longest_waits(out / "conformance.json"))
    log += verdicts.played_again(out / "conformance.json")
    return result


def test_a_runs_times_are_told() -> None:
    targets = [{"target": "a", "seconds": 80.4}, {"target": "b", "seconds": None}]
    matrix = {"wall": 99.7, "waited": 1234.5, "slowest": ["a"], "targets": targets}
    assert verdicts.timing(matrix, {"a": ("duration.expires", 21.0)}) == [
        "wall 100 s; all its waits, one after the other, 1234 s",
        "slow: a took 80 s beside all the others; alone it may take 51 s, 30 s more than duration.expires waits",
    ]


def test_every_bundled_target_is_written_down() -> None:
    assert sorted(verdicts.expected()) == sorted(names())


@pytest.mark.parametrize("target", names())
def test_verdicts_are_the_expected_ones(
    target: str, out: Path, outcome: tuple[int, str, dict[str, dict[str, str]]]
) -> None:
    if target not in INSTALLED:
        pytest.skip(f"{target} is not installed here")
    out_of_reach = verdicts.left_out(verdicts.reasons(out / "conformance.json").get(target, {}))
    want, got = (
        {name: verdict for name, verdict in rows.items() if name not in out_of_reach}
        for rows in (verdicts.expected()[target], outcome[2].get(target, {}))
    )
    lines = verdicts.differences(want, got)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("target", names())
def test_what_is_not_checkable_is_so_for_the_reason_written_down(
    target: str, out: Path, outcome: tuple[int, str, dict[str, dict[str, str]]]
) -> None:
    if target not in INSTALLED:
        pytest.skip(f"{target} is not installed here")
    assert outcome[2]
    why = verdicts.reasons(out / "conformance.json").get(target, {})
    out_of_reach = verdicts.left_out(why)
    seen = {name: reason for name, reason in why.items() if name not in out_of_reach}
    lines = verdicts.differences(verdicts.expected_reasons()[target], seen)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    ("real", "moved", "otherwise"),
    [
        # The one that waits cannot wait for the default of 20 minutes; the scope is a promise of the other profile's.
        ("reference-real-idle", "reference-lb-cookie-idle", {"affinity.scope", "duration.default"}),
        ("reference-real-absolute", "reference-lb-cookie-absolute-balancer", {"duration.default"}),
    ],
)
def test_real_time_gives_the_verdicts_of_moved_time(real: str, moved: str, otherwise: set[str]) -> None:
    written = verdicts.expected()
    assert {line.partition(":")[0] for line in verdicts.differences(written[moved], written[real])} == otherwise


def test_each_row_that_is_not_checkable_has_a_reason_and_no_other_row_has_one() -> None:
    written, why = verdicts.expected(), verdicts.expected_reasons()
    for target, rows in written.items():
        without = {name for name, verdict in rows.items() if verdict == "not checkable"}
        assert without == set(why[target]), target
        assert all(len(reason.split()) > 2 for reason in why[target].values()), target


def test_writing_keeps_verdicts_and_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, why = verdicts.expected(), verdicts.expected_reasons()
    before = {path.name: path.read_text() for path in verdicts.HERE.glob("*.toml")}
    monkeypatch.setattr(verdicts, "HERE", tmp_path)
    verdicts.write(written, why)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.toml")} == before


def test_no_row_takes_more_requests_or_sees_less_than_its_behaviour_states(
    out: Path, outcome: tuple[int, str, dict[str, dict[str, str]]]
) -> None:
    assert outcome[2]
    wrong: list[str] = []
    for each in _results(out):
        assert each.budget is not None and each.error_rate is not None
        if (sent := each.requests - each.elsewhere) > each.budget:
            wrong.append(f"{each.key}: {sent} requests, at most {each.budget} are stated")
        if each.falls_short:
            wrong.append(f"{each.key}: sees {each.smallest_visible:.3f} only, {each.sees} is stated: {each.reason}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_undecided_anywhere(out: Path, outcome: tuple[int, str, dict[str, dict[str, str]]]) -> None:
    undecided = {"inconclusive", "setup failed", "harness error"}
    found = [
        f"{each.key}: {each.verdict}: {each.reason}\n{each.detail}".strip()
        for each in _results(out)
        if each.verdict in undecided
    ]
    assert not found, "\n".join(found)
    assert outcome[0] == 0, outcome[1][-2000:]
