"""What known-deviations.toml may say, what bad ones get, and which versions an entry is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.plan import plan, rows_of
from limpet.harness.model.contract.catalogue import Known
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Deviation
from limpet.harness.targets.deviations import in_force, unknown_names
from limpet.harness.targets.load import BUNDLED, load, names

MakeTarget = Callable[..., Path]
RUNS = '[endpoint]\nurl = "http://127.0.0.1:1"\n[backends]\nmember = [{ listen = "127.0.0.1:2" }]\n'
GOOD = """
[[deviation]]
behaviour = "failover.modes[hang]"
happens = "a silent server keeps
 its users"
since = "1.31.3"
link = "https://example.org/issues/7"
reproduction = "reproduce-hang.sh"
""".replace("server keeps\n", "server keeps")
ROWS: Known = {"failover.modes": ("hang", "refused"), "affinity.holds": (), "cookie.x": None}


def given(make_target: MakeTarget, text: str) -> Path:
    directory = make_target(RUNS, reproduce_hang__sh="exit 0\n")
    (directory / "reproduce-hang.sh").write_text("exit 0\n")
    (directory / "known-deviations.toml").write_text(text)
    return directory


def known(behaviour: str, since: str = "1", until: str = "") -> Deviation:
    return Deviation(behaviour, "it happens", since, "not reported", until=until, file="k.toml")


def test_an_entry_is_loaded_with_its_target(make_target: MakeTarget) -> None:
    directory = given(make_target, GOOD)
    (found,) = load(directory).deviations
    assert (found.behaviour, found.happens) == ("failover.modes[hang]", "a silent server keeps its users")
    assert found.reproduction == f"{directory.resolve()}/reproduce-hang.sh"
    assert found.file == f"{directory.resolve()}/known-deviations.toml"


def test_one_cause_may_break_several_rows(make_target: MakeTarget) -> None:
    both = GOOD.replace('"failover.modes[hang]"', '["failover.modes[hang]", "failover.repins"]')
    one, other = load(given(make_target, both)).deviations
    assert (one.behaviour, other.behaviour) == ("failover.modes[hang]", "failover.repins")
    assert one.happens == other.happens


def test_under_another_profile_nothing_is_known(make_target: MakeTarget) -> None:
    directory = given(make_target, GOOD)
    assert load(directory, profile="toy/plain").deviations == ()
    assert load(directory, profile="toy/sticky").deviations


def test_no_file_no_deviations(make_target: MakeTarget) -> None:
    assert load(make_target(RUNS)).deviations == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("behaviour =", "behavior =", ["deviation[0].behavior: unknown key", '"behaviour"', "behaviour: is missing"]),
        ("[[deviation]]", "[[deviations]]", ["deviations: unknown key", 'did you mean "deviation"']),
        ("reproduce-hang.sh", "reproduce-hng.sh", ["deviation[0].reproduction", 'did you mean "reproduce-hang.sh"']),
        ("reproduce-hang.sh", "../x.sh", ["deviation[0].reproduction", "without a path"]),
        ("https://example.org/issues/7", "soon", ["deviation[0].link", '"not reported"']),
        ('"1.31.3"', '"latest"', ["deviation[0].since", "'latest' is no version"]),
        ('since = "1.31.3"', "", ["deviation[0].since: is missing"]),
        ('since = "1.31.3"', 'since = "1.31.3"\nuntil = "1.30"', ["until: 1.30 is before since"]),
        ("link =", 'kinds = ["mvoed"]\nlink =', ["deviation[0].kinds", 'did you mean "moved"']),
        ('"failover.modes[hang]"', "7", ["deviation[0].behaviour"]),
        ('"failover.modes[hang]"', "[]", ["deviation[0].behaviour"]),
        ("[[deviation]]", "[[", ["is no valid TOML"]),
    ],
)
def test_bad_files_are_usage_faults_that_name_the_key(
    make_target: MakeTarget, old: str, new: str, expected: list[str]
) -> None:
    with pytest.raises(UsageFault) as caught:
        load(given(make_target, GOOD.replace(old, new)))
    assert [part for part in [*expected, "known-deviations.toml"] if part not in str(caught.value)] == [], caught.value


def test_every_mistake_of_target_and_deviations_is_told_at_once(make_target: MakeTarget) -> None:
    directory = given(make_target, GOOD.replace("hang.sh", "x.sh") + GOOD)
    target = directory / "target.toml"
    target.write_text(target.read_text() + "[timming]\n")
    with pytest.raises(UsageFault) as caught:
        load(directory)
    for part in ("timming", 'no file "reproduce-x.sh"', "stands there twice"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "name", ["failover.modes[hang]", "failover.modes[*]", "failover.*", "affinity.holds", "cookie.x[y]"]
)
def test_names_of_rows_are_right(name: str) -> None:
    assert unknown_names([known(name)], ROWS) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("failover.modes", "each variant is a row; name one, failover.modes[hang], or all, failover.modes[*]"),
        ("failover.modes[hangs]", 'no such variant; did you mean "hang"?'),
        ("failover.modes[x*]", "no such variant; valid: hang, refused"),
        ("failover.mode[hang]", 'no such behaviour; did you mean "failover.modes"?'),
        ("affinity.holds[a]", "affinity.holds has no variants here"),
        ("falover.*", "matches no row"),
    ],
)
def test_names_of_no_row_are_mistakes(name: str, expected: str) -> None:
    (problem,) = unknown_names([known(name), known("affinity.holds")], ROWS)
    assert problem.startswith(f'k.toml: behaviour = "{name}"') and expected in problem


@pytest.mark.parametrize(
    ("version", "since", "until", "there"),
    [
        ("1.31.3", "1.31.3", "", True),
        ("1.31.2", "1.31.3", "", False),
        ("1.4", "1.31", "", False),
        ("nginx/1.32.0 (beta)", "1.31.3", "", True),
        ("2.0", "1.31.3", "1.99", False),
        ("1.99.7", "1.31.3", "1.99", True),
        ("1.31", "1.31.3", "", True),
        ("", "9", "", True),
        ("unknown", "9", "", True),
    ],
)
def test_an_entry_is_about_some_versions(version: str, since: str, until: str, there: bool) -> None:
    assert bool(in_force([known("affinity.holds", since, until)], version)) is there


@pytest.mark.parametrize("name", [name for name in names() if (BUNDLED / name / "known-deviations.toml").exists()])
def test_bundled_entries_can_be_found_out(name: str) -> None:
    """Each names rows that this target promises and that limpet judges, cites what it breaks, and can be repeated."""
    loaded = load(name)
    suites = behaviours((SUITES,))
    assert unknown_names(loaded.deviations, rows_of(suites, loaded.contract)) == []
    judged = {job.name for job in plan(loaded, suites) if job.settled is None and not job.observed_only}
    for each in loaded.deviations:
        assert any(map(each.names, judged)), f"{each.behaviour}: nothing firm is promised there, so it never fails"
        assert "https://" in each.documented, f"{each.behaviour}: what documentation says otherwise, and where?"
        assert each.reproduction, f"{each.behaviour}: no reproduction"
