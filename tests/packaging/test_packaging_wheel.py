"""The built package: whole, shadowing nobody, and working from any folder whatever that folder holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("harness", "reference_lb", "reports", "suites", "fixtures")
SHADOWED = ("suites", "reports", "harness", "reference_lb")


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**os.environ, **env}, text=True, encoding="utf-8",
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sources() -> set[str]:
    found = {"py.typed", "__init__.py"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            within = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in within.parts and within.parts[:2] != ("reports", "out"):
                found.add(within.as_posix())
    return found


class Built(NamedTuple):
    wheel: Path
    sdist: Path
    expected: set[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """sdist, and the wheel built from it: as a registry's users would build it."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    expected = sources()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist, expected)


class Installed(NamedTuple):
    bin: Path
    site: Path
    before: set[str]
    commands: set[str]


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A virtual environment with other people's packages, and then limpet's wheel.

    What limpet depends on is found in the environment that runs this test, so nothing is downloaded.
    """
    home = tmp_path_factory.mktemp("venv") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    bin_ = home / "bin"
    site = Path(run(bin_ / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    for name in SHADOWED:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(f"OWNER = 'somebody else: {name}'\n")
    # A folder that a .pth file names is searched, but its own .pth files are not read: no editable limpet.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    before, commands = {path.name for path in site.iterdir()}, {path.name for path in bin_.iterdir()}
    run(
        sys.executable, "-m", "pip", "--python", bin_ / "python", "install", "--quiet", "--no-deps", "--no-index",
        "--disable-pip-version-check", built.wheel, cwd=home,
    )  # fmt: skip
    return Installed(bin_, site, before, commands)


def test_the_wheel_holds_every_file_of_every_room(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    assert not {f"limpet/{name}" for name in built.expected} - names
    assert not [name for name in names if not name.startswith(("limpet/", "limpet-"))]
    assert not [name for name in names if "__pycache__" in name or "/reports/out/" in name]
    assert {
        "limpet/harness/run.ini",
        "limpet/reports/templates/report.html.j2",
        "limpet/suites/catalogue/nginx.toml",
    } <= names


def test_the_sdist_holds_what_a_packager_needs(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
        links = [member.name for member in sdist.getmembers() if member.issym()]
    assert not {f"src/limpet/{name}" for name in built.expected} - names
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile"} <= names
    assert any(name.startswith("tests/") for name in names)
    assert not links


def test_the_licence_is_whole_and_named(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        said = wheel.read(metadata).decode()
        (licence,) = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
        text = wheel.read(licence).decode()
    assert "License-Expression: Apache-2.0" in said
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text


def test_installing_adds_one_name_and_one_command(installed: Installed) -> None:
    added = {path.name for path in installed.site.iterdir()} - installed.before
    assert {name for name in added if not name.endswith(".dist-info")} == {"limpet"}
    assert {path.name for path in installed.bin.iterdir()} - installed.commands == {"limpet"}


def test_other_peoples_packages_are_still_theirs(installed: Installed, tmp_path: Path) -> None:
    pytest.importorskip("fixtures")
    code = (
        "import limpet.harness.session, limpet.reports.collection, limpet.reference_lb.main\n"
        f"import json, fixtures, {', '.join(SHADOWED)}\n"
        f"print(json.dumps([[each.OWNER for each in ({', '.join(SHADOWED)},)], fixtures.__file__, limpet.__file__]))\n"
        "assert issubclass(fixtures.TempDir, fixtures.Fixture)"
    )
    owners, fixtures, limpet = json.loads(run(installed.bin / "python", "-c", code, cwd=tmp_path))
    assert owners == [f"somebody else: {name}" for name in SHADOWED]
    assert Path(fixtures).parent.parent.name == "site-packages"
    assert Path(limpet).is_relative_to(installed.site), "the installed limpet was tried, not the checkout"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder that would ruin any pytest run which took something over from it."""
    here = tmp_path / "hostile"
    (here / "suites" / "affinity").mkdir(parents=True)
    for name in ("conftest.py", "limpet.py", "pytest.py", "suites/conftest.py", "suites/affinity/test_holds.py"):
        (here / name).write_text("raise RuntimeError('hostile file imported')\n")
    (here / "pytest.ini").write_text("[pytest]\naddopts = --bogus-option\nrequired_plugins = nosuch\n")
    (here / "pyproject.toml").write_text("[tool.pytest\n")
    (here / "setup.cfg").write_text("[tool:pytest]\naddopts = --bogus\n")
    return here


def test_the_installed_limpet_judges_from_a_hostile_folder(installed: Installed, hostile: Path, tmp_path: Path) -> None:
    before = sorted(hostile.rglob("*"))
    out = tmp_path / "out"
    said = run(
        installed.bin / "limpet", "run", "--target", "reference-lb-cookie-idle", "--behaviour", "affinity.holds",
        "--out", out,
        cwd=hostile, PYTEST_ADDOPTS="--bogus", PYTEST_PLUGINS="nosuch_plugin",
    )  # fmt: skip
    assert "held 1 of 1 promised" in said
    found = json.loads((out / "conformance.json").read_text())
    assert [each["verdict"] for each in found["results"]] == ["held"]
    assert (out / "histories" / "reference-lb-cookie-idle" / "affinity.holds.jsonl").stat().st_size > 1000
    assert sorted(hostile.rglob("*")) == before, "nothing was created there"


def test_results_go_to_limpet_out_by_default_and_nowhere_else(installed: Installed, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    run(
        installed.bin / "limpet", "run", "--target", "reference-source-ip", "--behaviour", "affinity.holds", "-q",
        cwd=here,
    )  # fmt: skip
    assert [path.name for path in here.iterdir()] == ["limpet-out"]


def test_plain_pytest_finds_the_installed_plugin(installed: Installed, tmp_path: Path) -> None:
    suite = tmp_path / "project" / "test_own.py"
    suite.parent.mkdir()
    shutil.copy(ROOT / "suites" / "affinity" / "test_holds.py", suite)
    said = run(
        installed.bin / "python", "-m", "pytest", suite, "--limpet-target", "reference-lb-cookie-idle",
        "--limpet-behaviour", "affinity.holds",
        cwd=suite.parent,
    )  # fmt: skip
    assert "1 passed" in said
