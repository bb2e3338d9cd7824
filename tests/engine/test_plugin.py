"""The pytest face: plain pytest on suites judges like `limpet run`, in pytest's own words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SUITE = '''
"""A suite of somebody's own."""

from limpet import Kind, Scenario, behaviour


@behaviour("own.holds", error_rate=0.0, budget=99)
def test_holds(s: Scenario) -> None:
    """The pin holds."""
    user = s.pinned()
    for _ in range(3):
        user.visit()


@behaviour("own.broken", error_rate=0.0, budget=99)
def test_broken(s: Scenario) -> None:
    """Always broken."""
    s.broken(Kind.MOVED, "moved on purpose")


@behaviour("own.undecided", error_rate=0.0, budget=99)
def test_undecided(s: Scenario) -> None:
    """Decides nothing."""


@behaviour("own.needs-more", error_rate=0.0, budget=99, fields=("reaction.unhealthy",))
def test_needs_more(s: Scenario) -> None:
    """Not promised by the profile below."""


def test_of_pytest_alone() -> None:
    assert True
'''
SLOW = '''
from limpet import Scenario, behaviour


@behaviour("own.slow", error_rate=0.0, budget=99, touches="clock", waits=True)
def test_slow(s: Scenario) -> None:
    """Waits for ever."""
    s.real_wait(3600)
'''
PROFILE = """
[product]
name = "mine"
title = "my own"
documentation = "a wiki page"
[profile.sticky]
title = "mine"
layer = 7
affinity = "lb-cookie"
cookie = { name = "STICK" }
"""


def project(tmp_path: Path) -> Path:
    """A folder with a suite and a target that is the bundled balancer under a contract of the user's own."""
    source = Path(__file__).parents[2] / "fixtures" / "targets" / "reference-lb-cookie-idle" / "target.toml"
    text = source.read_text().replace('profile = "reference/lb-cookie-idle"', 'profile = "mine/sticky"')
    text = text.replace('product = "reference"\n', "").replace("../_shared/", f"{source.parents[1]}/_shared/")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "target.toml").write_text(text)
    (tmp_path / "target" / "profile.toml").write_text(PROFILE)
    (tmp_path / "test_own.py").write_text(SUITE)
    return tmp_path


def pytest(folder: Path, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--limpet-target={folder}/target",
               f"--limpet-out={folder}/out", *arguments]  # fmt: skip
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)


def test_each_verdict_in_the_words_of_pytest(tmp_path: Path) -> None:
    folder = project(tmp_path)
    ended = pytest(folder, "-rA", "test_own.py")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert any(line.startswith("PASSED") and "own.holds" in line for line in lines)
    assert any(line.startswith("PASSED") and "test_of_pytest_alone" in line for line in lines)
    assert any(line.startswith("FAILED") and "own.broken" in line for line in lines)
    assert any(line.startswith("FAILED") and "own.undecided" in line for line in lines)
    assert "[broken] moved on purpose" in ended.stdout
    assert "[inconclusive]" in ended.stdout
    assert "1 skipped" in ended.stdout
    assert "Traceback" not in ended.stdout
    record = json.loads((folder / "out" / "conformance.json").read_text())
    verdicts = {each["behaviour"]: each["verdict"] for each in record["results"]}
    assert verdicts == {
        "own.holds": "held",
        "own.broken": "broken",
        "own.undecided": "inconclusive",
        "own.needs-more": "not promised",
    }


def test_only_what_is_selected_runs(tmp_path: Path) -> None:
    ended = pytest(project(tmp_path), "-k", "own.holds", "test_own.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


def test_collecting_alone_starts_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path)
    ended = pytest(folder, "--collect-only", "-q", "test_own.py")
    assert "own.broken" in ended.stdout
    assert not (folder / "out").exists()


def test_the_first_failure_ends_the_others(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "test_slow.py").write_text(SLOW)
    begin = time.monotonic()
    ended = pytest(folder, "-x", "-k", "own.broken or own.slow", "test_own.py", "test_slow.py")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert time.monotonic() - begin < 60, "it waited for a scenario that nobody asks for any more"
    assert not json.loads((folder / "out" / "conformance.json").read_text())["complete"]


def test_pdb_is_refused_with_a_reason(tmp_path: Path) -> None:
    ended = pytest(project(tmp_path), "--pdb", "test_own.py")
    assert ended.returncode == 4
    assert "--pdb" in ended.stderr and "threads" in ended.stderr


def test_a_target_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    folder = project(tmp_path)
    ended = pytest(folder, "--limpet-target=nowhere", "test_own.py")
    assert ended.returncode != 0
    assert 'no target "nowhere"' in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_allure_results_of_plain_pytest_carry_the_requirements(tmp_path: Path) -> None:
    folder = project(tmp_path)
    root = Path(__file__).parents[2]
    file = folder / "target" / "target.toml"
    file.write_text(file.read_text().replace('profile = "mine/sticky"', 'profile = "reference/lb-cookie-idle"'))
    ended = pytest(folder, "-k", "affinity.holds and not across and not within and not under", "-rA",
                   f"--alluredir={folder}/allure", str(root / "suites" / "affinity" / "test_holds.py"))  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = [json.loads(path.read_text()) for path in (folder / "allure").glob("*-result.json")]
    holds = next(each for each in results if "affinity.holds" in each["name"])
    tags = {label["value"] for label in holds["labels"] if label["name"] == "tag"}
    assert any(tag.startswith("REF-") for tag in tags)
    assert holds["status"] == "passed"
