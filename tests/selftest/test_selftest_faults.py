"""A fault's file says what it is, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.cli.catalogues import catalogues
from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import plan
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.selftest import startable
from limpet.harness.selftest.classes import CLASSES
from limpet.harness.selftest.coverage import reference_targets
from limpet.harness.selftest.covering import uncovered
from limpet.harness.selftest.faults import faults, read
from limpet.harness.selftest.outcomes import Outcome, undrawn
from limpet.harness.selftest.startable import triable
from limpet.harness.selftest.trials import Trial, arrange, sampled
from limpet.harness.targets.load import load

GOOD = '''"""Something
is wrong.

More about it.
"""
CLASSES = (8, 38)
TARGETS = ("reference-lb-cookie-idle",)
PROVOKES = "moved"
CAUGHT_BY = ("affinity.holds",)


def fault(parts, activated):
    return parts
'''


def written(folder: Path, text: str, name: str = "some-fault") -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_a_fault_is_read(tmp_path: Path) -> None:
    found = read(written(tmp_path, GOOD))
    assert (found.name, found.doc, found.classes) == ("some-fault", "Something is wrong.", (8, 38))
    assert found.provokes == (Kind.MOVED,)
    assert found.caught_by == ("affinity.holds",)


def test_more_than_one_violation_may_be_provoked(tmp_path: Path) -> None:
    found = read(written(tmp_path, GOOD.replace('"moved"', '("moved", "failed-back")')))
    assert found.provokes == (Kind.MOVED, Kind.FAILED_BACK)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(8, 38)", "(8, 43)", "43 is no fault class"),
        ("(8, 38)", "()", "CLASSES"),
        ("cookie-idle", "cookie-idel", 'did you mean "reference-lb-cookie-idle"?'),
        ('"moved"', '"movde"', 'did you mean "moved"?'),
        ('PROVOKES = "moved"', "", "PROVOKES"),
        ('("affinity.holds",)', '"affinity.holds"', "CAUGHT_BY: give a tuple"),
        ('CAUGHT_BY = ("affinity.holds",)', "CAUGHT_IN_A_LAB = ()", "CAUGHT_IN_A_LAB: give a tuple"),
        ("def fault(parts, activated)", "def flaw(parts, activated)", "neither fault"),
        ("def fault(parts, activated)", "def fault(parts)", "two arguments"),
        ('"""Something', 'x = """Something', "no docstring"),
        ("CLASSES", "import nothing.of_that_name\nCLASSES", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UsageFault) as caught:
        read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageFault) as caught:
        read(written(tmp_path, '"""Wrong."""\n'))
    assert all(word in str(caught.value) for word in ("5 problems", "CLASSES", "TARGETS", "PROVOKES", "CAUGHT_BY"))


def test_a_glob_that_means_nothing_is_a_mistake(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    assert [each.name for each in faults([tmp_path], ["some-*"])] == ["some-fault"]
    with pytest.raises(UsageFault, match='did you mean "some-fault"'):
        faults([tmp_path], ["some-fualt"])


def test_two_faults_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, GOOD)
    with pytest.raises(UsageFault, match="already"):
        faults([tmp_path / "one", tmp_path / "other"])


def test_the_bundled_faults_are_many_and_of_many_classes() -> None:
    found = faults()
    assert len(found) >= 40
    assert len({number for each in found for number in each.classes}) >= 25
    assert all(each.doc.endswith(".") and len(each.doc) > 30 for each in found)


def test_every_mode_of_the_reference_balancer_has_faults() -> None:
    profiles = {load(name).profile for each in faults() for name in each.targets}
    modes = ["lb-cookie-idle", "lb-cookie-absolute", "lb-cookie-absolute-balancer", "app-cookie", "source-ip"]
    wanted = {f"reference/{mode}" for mode in (*modes, "tcp-source-ip", "round-robin", "least-connections")}
    assert wanted <= profiles


def test_every_bundled_fault_has_catchers_that_can_be_tried(tmp_path: Path) -> None:
    here, _ = triable(faults())
    planned = arrange(here, behaviours(), tmp_path, full=False)
    assert [(each.fault.name, each.target, each.catcher, each.why) for each in planned.unfit] == []


def test_what_only_a_lab_shows_is_tried_there_and_nothing_else_is(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD.replace("CAUGHT_BY", "CAUGHT_IN_A_LAB"), "far-away")
    written(tmp_path, f'{GOOD}\nCAUGHT_IN_A_LAB = ("network.ipv6[homes]",)\n', "both")
    known = faults([tmp_path])
    here, left_out = triable(known)
    assert {each.name: each.caught_by for each in here} == dict.fromkeys(("both", "some-fault"), ("affinity.holds",))
    assert left_out == ["far-away is not tried: only a lab shows it (--network namespace)"]
    there, left_out = triable(known, "namespace")
    assert {each.name: each.caught_by for each in there} == {
        "both": ("network.ipv6[homes]",), "far-away": ("affinity.holds",),
    } and not left_out  # fmt: skip


def test_every_bundled_fault_of_a_lab_has_catchers_that_can_be_tried_there_and_only_there(tmp_path: Path) -> None:
    there, _ = triable(faults(), "namespace")
    assert len(there) >= 3
    planned = arrange(there, behaviours(), tmp_path, full=False, network="namespace")
    assert [(each.fault.name, each.target, each.catcher, each.why) for each in planned.unfit] == []
    assert {each.catcher for each in planned.trials} == {row for each in there for row in each.caught_in_a_lab}


def test_a_fault_that_only_a_shifted_clock_shows_is_left_out_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(startable, "no_time_namespace", lambda: "this machine gives no time namespace: root only")
    here, left_out = triable(faults(globs=["cookie-dated-by-the-uptime", "keys-made-anew-at-each-start"]))
    assert [each.name for each in here] == ["keys-made-anew-at-each-start"]
    assert left_out == ["cookie-dated-by-the-uptime is not tried: this machine gives no time namespace: root only"]


def test_a_faulty_copy_has_the_luck_of_the_right_one(tmp_path: Path) -> None:
    planned = arrange(faults(globs=["cookie-ignored-*"]), behaviours(), tmp_path, full=False)
    assert planned.trials
    for trial in planned.trials:
        assert trial.wrong.luck == trial.right.key != trial.wrong.key
        assert trial.right.loaded.override is None
        assert trial.wrong.loaded.override is not None


def test_the_sample_beside_the_catchers_is_small_and_goes_by_the_seed(tmp_path: Path) -> None:
    wanted, known = faults(globs=["cookie-*"]), behaviours()

    def others(seed: int) -> list[tuple[str, str]]:
        planned = arrange(wanted, known, tmp_path, full=False, sample=2, seed=seed)
        return [(each.fault.name, each.right.key) for each in planned.trials if not each.catcher]

    assert others(1) == others(1) != others(2)
    assert len(others(1)) == len(set(others(1))) == 2 * len(wanted)
    assert [sampled(number) for number in (0, 1, 150, 10_000)] == [4, 4, 2, 1]
    caught = {(each.fault.name, each.right.key) for each in arrange(wanted, known, tmp_path, full=False).trials}
    assert not caught & set(others(1))


def test_to_cover_is_to_try_what_no_catcher_declares_and_nothing_else(tmp_path: Path) -> None:
    wanted, known = faults(globs=["cookie-renamed", "no-failover"]), behaviours()
    sources = {name: each for name, each in catalogues().items() if name in ("generic", "aws-alb")}
    planned = arrange(wanted, known, tmp_path, full=False, sample=3, cover=sources)
    declared = [each for each in planned.trials if each.catcher]
    others = {
        (each.fault.name, each.right.loaded.profile, each.right.name) for each in planned.trials if not each.catcher
    }
    # The header mode's own requirement names the row, and no fault here names a target of it.
    assert ("no-failover", "generic/header", "failover.repins") in others
    assert {profile.partition("/")[0] for _, profile, _ in others} <= set(sources)
    # Where a catcher is declared nothing is added, and a fault that is known nowhere near is not tried.
    assert not {(p, n) for _, p, n in others} & {(each.right.loaded.profile, each.right.name) for each in declared}
    known_at = {(each.fault.name, each.right.loaded.profile) for each in declared}
    known_as = {(each.fault.name, each.right.name) for each in declared}
    assert all((fault, at) in known_at or (fault, name) in known_as for fault, at, name in others)
    everywhere = {name: plan(load(name), known) for name in reference_targets()}
    left = uncovered(sources, everywhere, declared)
    assert any(each.behaviour == "affinity.holds" for each in left)
    assert not any(each.requirement == "ALB-FAIL-01" and each.behaviour == "failover.repins" for each in left)


def test_a_row_whose_events_are_drawn_is_covered_by_what_its_own_requirement_rejects_there(tmp_path: Path) -> None:
    """What needs a sequence of events there comes after what breaks the same sentence on this very target."""
    wanted, known = faults(globs=["no-failover", "recovery-in-an-outage-unseen"]), behaviours()
    planned = arrange(wanted, known, tmp_path, full=False, cover={"aws-clb": catalogues()["aws-clb"]})
    tried = [
        each
        for each in planned.trials
        if not each.catcher
        and each.right.name == "chaos.steady-state"
        and each.right.loaded.profile == "aws-clb/application-cookie"
    ]
    assert [each.fault.name for each in tried] == ["no-failover", "recovery-in-an-outage-unseen"]

    def seen(trial: Trial, wrong: Verdict, *, activated: bool = True) -> Outcome:
        right, its = (
            Result(target=each.loaded.target.name, product="x", profile=each.loaded.profile, behaviour=each.name,
                   verdict=verdict, reason="so it was")
            for each, verdict in ((trial.right, Verdict.HELD), (trial.wrong, wrong))
        )  # fmt: skip
        return Outcome(trial, right, its, activated)

    missed = [seen(each, Verdict.HELD) for each in tried]
    assert undrawn(missed) == missed, "what is drawn the next time may show it"
    assert undrawn([seen(each, Verdict.HELD, activated=False) for each in tried]) == [], "it does nothing there"
    assert undrawn([missed[0], seen(tried[1], Verdict.BROKEN)]) == [], "one is enough"
    declared = next(each for each in planned.trials if each.catcher)
    assert undrawn([seen(declared, Verdict.HELD)]) == []


def test_what_is_tried_beside_comes_from_different_rows_of_the_requirement(tmp_path: Path) -> None:
    """A walk sees nothing of forged headers, whatever they do: two faults of that kind would be one try."""
    names = ["address-of-the-first-request", "leftmost-address-believed", "source-port-is-the-key"]
    sources = {"reference": catalogues()["reference"]}
    planned = arrange(faults(globs=names), behaviours(), tmp_path, full=False, cover=sources)
    walks = [
        each.fault.name
        for each in planned.trials
        if (each.right.name, each.right.loaded.profile) == ("chaos.random-walk", "reference/source-ip-forwarded")
    ]
    assert walks == ["address-of-the-first-request", "source-port-is-the-key"]


def test_the_classes_are_those_of_the_list() -> None:
    assert sorted(CLASSES) == list(range(1, 43))


SEVERAL = (
    "chaos.random-walk", "chaos.steady-state", "chaos.soak",
    "failover.rate", "fairness.skew", "fairness.scale-out-lag", "membership.rolling-deploy",
)  # fmt: skip
"""Rows in which several events come together."""


@pytest.mark.parametrize("row", SEVERAL)
def test_each_row_of_several_events_has_three_faults_that_no_other_row_is_to_reject(row: str) -> None:
    own = [fault.name for fault in faults() if row in fault.caught_by and set(fault.caught_by) <= set(SEVERAL)]
    assert len(own) >= 3, own
