"""Products that a make target installs: it is in nobody's way, and where it was not called the cure is told."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from limpet.harness.targets.installed import program
from limpet.harness.targets.load import load, names

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
CI = (ROOT / ".ci" / "run").read_text("utf-8")
PRODUCTS = ("skipper", "socketio-sticky", "undertow")


def installed_by_make() -> dict[str, set[str]]:
    """Make target to the bundled targets whose program it installs."""
    found: dict[str, set[str]] = {}
    for name in names():
        launch = load(name).target.launch
        if launch is not None and launch.binary is not None and launch.binary.install.startswith("make "):
            found.setdefault(launch.binary.install.removeprefix("make "), set()).add(name)
    return found


def test_each_product_has_a_mode_and_a_control() -> None:
    found = installed_by_make()
    assert set(found) == set(PRODUCTS)
    for product, targets in found.items():
        assert {load(name).product for name in targets} == {product}
        assert {load(name).contract.affinity == "none" for name in targets} == {True, False}


@pytest.mark.parametrize("product", PRODUCTS)
def test_its_make_target_is_in_nobodys_way(product: str) -> None:
    rules = dict(re.findall(r"^([a-z$().][^:=\n]*): ?([^=\n#]*)", MAKEFILE, re.MULTILINE))
    assert product in rules and product in rules[".PHONY"].split()
    needing = {name for name, needs in rules.items() if product in needs.split() and name != ".PHONY"}
    assert not needing, f"make {', make '.join(needing)} would install it unasked"
    assert f"with_product {product} " in CI, "CI judges it too"


@pytest.mark.parametrize("product", PRODUCTS)
def test_where_it_is_missing_the_line_that_installs_it_is_told(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **more: None)
    for name in installed_by_make()[product]:
        needed = program(load(name))
        assert needed.reason and not needed.path and needed.install == f"make {product}"


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("product", "language"), [("socketio-sticky", "Node"), ("skipper", "Go"), ("undertow", "Maven")]
)
def test_without_its_language_make_says_what_it_needs(product: str, language: str, tmp_path: Path) -> None:
    # A virtual environment with nothing in it, and a PATH with nothing but what the recipe needs to say so.
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "pip").touch()
    (tmp_path / "path").mkdir()
    for tool in ("sh", "sed"):
        (tmp_path / "path" / tool).symlink_to(shutil.which(tool) or "")
    make = shutil.which("make") or ""
    ended = subprocess.run(
        [make, "-C", str(ROOT), "--no-print-directory", product, f"VENV={tmp_path / 'venv'}"],
        env={"PATH": str(tmp_path / "path")}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2 and f"make {product} needs" in ended.stdout and language in ended.stdout, ended
    assert [each.name for each in (tmp_path / "venv").rglob("*") if each.is_file()] == ["pip"]
