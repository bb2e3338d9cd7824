"""Known deviations through the whole house: what is accepted is no failure, and what no longer happens is one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from limpet_cli_place import PROFILE, Place

from limpet.harness.model.verdict import ExitCode
from limpet.harness.targets.load import BUNDLED

SUITE = '''
from limpet import Scenario, behaviour
from limpet.harness.model.violation import Kind


@behaviour("toy.breaks", error_rate=0.0, budget=20, variants=("always", "never"))
def test_breaks(s: Scenario) -> None:
    """One variant of it is broken whatever happens."""
    user = s.pinned(s.names[0])
    user.visit()
    if s.variant == "always":
        s.broken(Kind.MOVED, "Ana was sent to b2")
'''
ENTRY = """
[[deviation]]
behaviour = "{}"
happens = "it moves people to b2"
documented = "nobody is ever moved: https://example.org/manual"
since = "0.0.1"
link = "not reported"
reproduction = "reproduce-moved.sh"
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED / "_shared", tmp_path / "_shared")
    directory = tmp_path / "toy"
    directory.mkdir()
    text = (BUNDLED / "reference-lb-cookie-idle" / "target.toml").read_text()
    lines = text.replace('profile = "reference/lb-cookie-idle"', 'profile = "toy/sticky"').splitlines()
    (directory / "target.toml").write_text("\n".join(each for each in lines if not each.startswith("product")))
    (directory / "profile.toml").write_text(PROFILE)
    (directory / "reproduce-moved.sh").write_text("exit 0\n")
    (tmp_path / "test_toy_suite.py").write_text(SUITE)
    return directory


def run(place: Place, target: Path, *entries: str, behaviours: str = "toy.*") -> tuple[int, str, dict[str, object]]:
    (target / "known-deviations.toml").write_text("".join(map(ENTRY.format, entries)))
    suite = target.parent / "test_toy_suite.py"
    code, said = place.run("run", "--target", target, "--suite", suite, "--behaviour", behaviours)
    file = place.cwd / "limpet-out" / "conformance.json"
    results = json.loads(file.read_text())["results"] if file.exists() else []
    return code, " ".join(said.split()), {each["name"]: each for each in results}


def test_what_is_known_fails_nothing_and_is_told_with_its_entry(place: Place, target: Path) -> None:
    code, said, results = run(place, target, "toy.breaks[always]")
    assert code == ExitCode.HELD, said
    found = results["toy.breaks[always]"]
    assert isinstance(found, dict)
    assert (found["verdict"], found["reason"]) == ("known deviation", "it moves people to b2")
    assert found["violations"], "what was seen stays"
    assert found["deviation"]["reproduction"] == f"{target}/reproduce-moved.sh"
    for part in ("known deviation", "it moves people to b2", "nobody is ever moved", "reproduce-moved.sh"):
        assert part in said
        if part != "known deviation":
            assert part in (place.cwd / "limpet-out" / "report.html").read_text()
    assert "held 1 of 2 promised, 1 known deviation" in said


def test_an_entry_that_no_longer_happens_fails_the_run(place: Place, target: Path) -> None:
    code, said, results = run(place, target, "toy.breaks[*]")
    assert code == ExitCode.BROKEN, said
    assert "toy.breaks[never]: no longer happens: remove the entry" in said
    assert isinstance(found := results["toy.breaks[never]"], dict) and found["verdict"] == "held"


def test_an_entry_whose_row_was_not_judged_says_nothing(place: Place, target: Path) -> None:
    code, said, results = run(place, target, "toy.breaks[*]", behaviours="toy.breaks[always]")
    assert code == ExitCode.HELD, said
    assert list(results) == ["toy.breaks[always]"]


def test_without_an_entry_it_is_broken(place: Place, target: Path) -> None:
    assert run(place, target)[0] == ExitCode.BROKEN


def test_names_of_no_row_are_a_mistake_and_all_are_told(place: Place, target: Path) -> None:
    code, said, _ = run(place, target, "toy.braks[always]", "toy.breaks", "toy.breaks[alwys]", "toy.breaks[never]")
    assert code == ExitCode.USAGE
    assert "known-deviations.toml" in said
    for part in ('did you mean "toy.breaks"', "each variant is a row", 'did you mean "always"'):
        assert part in said, said
    assert "[never]" not in said.replace("toy.breaks[always], or all, toy.breaks[*]", "")
