"""A selftest fails when a fault is harmless, a behaviour is blind, or one of them lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.cli.main import main
from limpet.harness.engine.collecting import behaviours
from limpet.harness.model.verdict import ExitCode, Result
from limpet.harness.selftest.document import write
from limpet.harness.selftest.faults import FAULTY, faults
from limpet.harness.selftest.outcomes import FaultReport, Outcome, Report, together
from limpet.harness.selftest.run import Selftest
from limpet.harness.selftest.table import write_table
from limpet.harness.selftest.trials import Trials

HEAD = '''"""A fault of a test."""
CLASSES = (8,)
TARGETS = ("reference-lb-cookie-idle",)
PROVOKES = "{provokes}"
CAUGHT_BY = ("affinity.holds",)


def fault(parts, activated):
'''
HARMLESS = HEAD.format(provokes="moved") + "    return parts\n"
PRETENDED = HEAD.format(provokes="moved") + "    activated()\n    return parts\n"
CRASHING = HEAD.format(provokes="moved") + "    activated()\n    raise ValueError('no balancer')\n"

SUITE = '''"""A suite of a test."""

from limpet import Kind, Scenario, behaviour


@behaviour("affinity.holds", error_rate=0.0, budget=60)
def test_holds(s: Scenario) -> None:
    """All requests of one user reach one backend."""
    user = s.pinned(s.names[0])
    for _ in range({requests}):
        user.visit()
'''
SEEING, BLIND = SUITE.format(requests=30), SUITE.format(requests=3)
LYING = SEEING + '    s.broken(Kind.MOVED, "it moved, because I say so", user.last)\n'


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.planned: Trials | None = None
        self.results = 0
        self.faults: list[str] = []
        self.missed: list[str] = []

    def began(self, seed: int, trials: Trials) -> None:
        self.planned = trials

    def result(self, result: Result, done: int, planned: int) -> None:
        self.results = done
        assert done <= planned

    def again(self, missed: Sequence[Outcome]) -> None:
        self.missed = [each.trial.fault.name for each in missed]

    def fault(self, found: FaultReport) -> None:
        self.faults.append(found.fault.name)


def selftest(
    tmp_path: Path, texts: dict[str, str], suite: str = SEEING, seed: int = 1, **more: Any
) -> tuple[Report, Notes]:
    """Runs these faults against one suite."""
    folder = tmp_path / "faulty"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    file = tmp_path / "test_of_a_test.py"
    file.write_text(suite)
    notes = Notes()
    found = Selftest(faults([folder]), behaviours([file]), tmp_path / "out", seed, **more).run(notes)
    return found, notes


def bundled(name: str) -> str:
    """The text of a bundled fault, against one target."""
    text = (FAULTY / f"{name}.py").read_text()
    first, last = text.index("TARGETS = ("), text.index("PROVOKES")
    return f'{text[:first]}TARGETS = ("reference-lb-cookie-idle",)\n{text[last:]}'


def test_harmless_faults_fail_it_and_nothing_but_a_violation_is_a_rejection(tmp_path: Path) -> None:
    texts = {
        "harmless": HARMLESS,
        "pretended": PRETENDED,
        "crashing": CRASHING,
        "real": bundled("cookie-ignored-now-and-then"),
    }
    found, notes = selftest(tmp_path, texts)
    why = {each.fault.name: each.catches[0].why_not for each in found.faults}
    assert found.code is ExitCode.BROKEN
    assert why["harmless"] == "it held, and the fault was never activated"
    assert why["pretended"] == "it held"
    assert why["crashing"].startswith("setup failed: ")
    assert "no balancer" in why["crashing"]
    assert why["real"] == ""
    assert [each.fault.name for each in found.faults if each.rejected] == ["real"]
    assert sorted(notes.faults) == sorted(texts)
    assert notes.results == len(texts) + 1  # one run of the right balancer serves all of them


def test_a_real_fault_and_a_seeing_behaviour_pass(tmp_path: Path) -> None:
    found, _ = selftest(tmp_path, {"real": bundled("cookie-ignored-now-and-then")})
    assert found.code is ExitCode.HELD
    assert found.faults[0].catches[0].by == ("affinity.holds",)
    assert found.unproven == ()
    out = tmp_path / "out"
    write(found, out / "selftest.json")
    document = json.loads((out / "selftest.json").read_text())
    (trial,) = document["faults"][0]["trials"]
    assert (trial["right"], trial["wrong"], trial["activated"]) == ("held", "broken", True)
    assert (out / trial["wrong_history"]).is_file()
    assert (out / trial["right_history"]).is_file()


def test_a_blind_behaviour_fails_it(tmp_path: Path) -> None:
    found, _ = selftest(tmp_path, {"real": bundled("cookie-ignored-now-and-then")}, BLIND)
    assert found.code is ExitCode.BROKEN
    assert "it held" in found.faults[0].catches[0].why_not
    assert found.unproven == ("affinity.holds",)


SECOND = (
    SEEING
    + '''

@behaviour("cookie.issued", error_rate=0.0, budget=9)
def test_issued(s: Scenario) -> None:
    """It is looked at, and nothing is said about it."""
    s.pinned(s.names[0]).visit()
'''
)


def test_other_behaviours_are_tried_too_and_need_not_notice(tmp_path: Path) -> None:
    text = bundled("cookie-ignored-now-and-then")
    found, notes = selftest(tmp_path, {"real": text}, SECOND)
    assert found.code is ExitCode.HELD and notes.results == 4
    assert {each.right.name: each.trial.catcher for each in found.outcomes} == {
        "affinity.holds": "affinity.holds", "cookie.issued": ""
    }  # fmt: skip


def test_in_a_full_selftest_of_all_faults_each_behaviour_has_to_reject_one(tmp_path: Path) -> None:
    text = bundled("cookie-ignored-now-and-then")
    found, _ = selftest(tmp_path, {"real": text}, SECOND, full=True, whole=True)
    assert found.code is ExitCode.BROKEN
    assert found.blind == ("cookie.issued",)
    assert all(each.rejected for each in found.faults)
    write_table(found, tmp_path / "selftest.md")
    lines = (tmp_path / "selftest.md").read_text().splitlines()
    assert "**Reject no fault:** cookie.issued" in lines
    assert any(line.startswith("| real | ") and "| **affinity.holds** | 1 |" in line for line in lines)
    assert "| cookie.issued | 0 |  |" in lines and "| affinity.holds | 1 | real |" in lines


def test_a_behaviour_that_rejects_the_right_balancer_fails_it(tmp_path: Path) -> None:
    found, _ = selftest(tmp_path, {"real": bundled("cookie-ignored-now-and-then")}, LYING)
    assert found.code is ExitCode.BROKEN
    assert [each.behaviour for each in found.accused] == ["affinity.holds"]
    assert "on the right balancer it is broken" in found.faults[0].catches[0].why_not


def test_another_violation_than_the_stated_one_is_no_rejection(tmp_path: Path) -> None:
    text = bundled("cookie-ignored-now-and-then").replace('PROVOKES = "moved"', 'PROVOKES = "failed-back"')
    found, _ = selftest(tmp_path, {"real": text})
    assert found.code is ExitCode.BROKEN
    assert found.faults[0].catches[0].why_not.startswith("broken by moved, not by failed-back: ")


def test_a_catcher_that_does_not_exist_fails_it(tmp_path: Path) -> None:
    text = bundled("cookie-ignored-now-and-then").replace('"affinity.holds"', '"affinity.hold"')
    found, _ = selftest(tmp_path, {"real": text})
    assert found.code is ExitCode.BROKEN
    assert 'did you mean "affinity.holds"' in found.faults[0].catches[0].why_not


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "no-such-*"], 'no fault matches "no-such-*"'),
        (["--faults", "nowhere"], "there is no such file or folder"),
    ],
)
def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["selftest", *arguments]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few bundled faults of different modes, end to end."""
    globs = ["twin-ignored", "source-port-*", "expiry-never-*", "bounds-*"]
    words = [word for glob in globs for word in ("--fault", glob)]
    code = main(["selftest", *words, "--out", str(tmp_path), "--seed", "7"])
    said = capsys.readouterr().out
    assert code == ExitCode.HELD, said
    assert "rejected 4 of 4 faults" in said
    document = json.loads((tmp_path / "selftest.json").read_text())
    assert document["seed"] == 7
    assert all(each["rejected"] for each in document["faults"])


TWO_VARIANTS = SUITE.format(requests='30 if s.variant == "one" else 3').replace(
    "budget=60)", 'budget=60, variants=("one", "two"))'
)


def test_what_no_fault_broke_is_told_by_variant(tmp_path: Path) -> None:
    text = bundled("cookie-ignored-now-and-then").replace('"affinity.holds"', '"affinity.holds[one]"')
    found, _ = selftest(tmp_path, {"real": text}, TWO_VARIANTS)
    assert found.faults[0].catches[0].by == ("affinity.holds[one]",)
    assert found.unproven == ("affinity.holds[two]",)


def test_variants_of_one_behaviour_are_told_together() -> None:
    assert together(["a.b", "c.d[one]", "c.d[two]", "e.f[x]"]) == ["a.b", "c.d[one, two]", "e.f[x]"]


SEES_LATER = (
    SEEING.replace("range(30)", "range(30 if seen_before() else 3)")
    + '''

def seen_before() -> bool:
    """Whether both balancers were judged once."""
    with open({file!r}, "a+") as file:
        file.write("x")
        return file.tell() > 2
'''
)


@pytest.mark.parametrize(("share", "code", "again"), [(0.01, ExitCode.BROKEN, 0), (1.0, ExitCode.HELD, 1)])
def test_a_miss_gets_a_second_seed_where_few_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, code: ExitCode, again: int
) -> None:
    monkeypatch.setattr("limpet.harness.selftest.run.MISSES", share)
    suite = SEES_LATER.format(file=str(tmp_path / "count"))
    found, notes = selftest(tmp_path, {"real": bundled("cookie-ignored-now-and-then")}, suite)
    assert (found.code, len(found.again), len(notes.missed)) == (code, again, again)
    assert notes.faults == ["real"] and len(found.outcomes) == 1
    write_table(found, tmp_path / "table.md")
    assert ("second seed: real by affinity.holds" in (tmp_path / "table.md").read_text()) == bool(again)


def test_a_false_accusation_is_kept_whatever_the_second_seed_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limpet.harness.selftest.run.MISSES", 1.0)
    lies_first = (
        SEES_LATER.format(file=str(tmp_path / "count"))
        .replace(
            "        user.visit()\n",
            '        user.visit()\n    if not seen_before():\n        s.broken(Kind.MOVED, "so I say")\n',
        )
        .replace("> 2", "> 4")
    )
    found, _ = selftest(tmp_path, {"real": bundled("cookie-ignored-now-and-then")}, lies_first)
    assert len(found.again) == 1 and found.faults[0].rejected
    assert [each.name for each in found.accused] == ["affinity.holds"] and found.code is ExitCode.BROKEN
