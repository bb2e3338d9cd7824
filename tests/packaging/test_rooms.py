"""What docs/design.md says about imports and no contract of import-linter holds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(file: Path) -> Iterator[str]:
    """The modules of limpet that a file imports, absolutely named."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] == "limpet")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports are not looked into"
            if node.module is not None and node.module.split(".")[0] == "limpet":
                yield node.module


def below(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        (
            "harness/targets",
            (
                "limpet.harness.targets",
                "limpet.harness.containers.existing",
                "limpet.harness.processes",
                "limpet.harness.model",
            ),
        ),
        ("suites", ("limpet.harness.model", "limpet.suites")),
        ("fixtures", ("limpet.reference_lb", "limpet.fixtures")),
    ],
)
def test_a_room_imports_only_what_the_design_says(folder: str, allowed: tuple[str, ...]) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) > 5
    found = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in files
        for module in imported(file)
        if module != "limpet" and not any(below(module, room) for room in allowed)
    }
    assert not found


HOUSE = ("harness", "suites", "reference_lb", "reports", "fixtures", "tests", "benchmarks")
LONGEST = 400
PRODUCTS = re.compile(
    r"\b(nginx|haproxy|envoy|traefik|caddy|apache|lighttpd|varnish|squid|nghttpx|skipper|undertow)\b", re.I
)
"""A word of a program, not of a sentence: see `words`."""


def modules() -> list[Path]:
    return [file for room in HOUSE for file in sorted((ROOT / room).rglob("*.py"))]


def words(file: Path) -> Iterator[str]:
    """The names and strings of a module, without its docstrings and comments, which may give examples."""
    tree = ast.parse(file.read_text("utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value
        elif isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef):
            yield node.id if isinstance(node, ast.Name) else node.name


def test_no_module_is_too_long() -> None:
    long = {str(file.relative_to(ROOT)): n for file in modules() if (n := len(file.read_text().splitlines())) > LONGEST}
    assert not long


def test_half_of_the_modules_are_short() -> None:
    lengths = sorted(len(file.read_text().splitlines()) for file in modules() if file.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 130


def test_engine_and_suites_name_no_product() -> None:
    files = [file for room in ("harness/engine", "harness/model", "suites") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    found = {f"{file.relative_to(ROOT)}: {word}" for file in files for word in words(file) if PRODUCTS.search(word)}
    # An option of curl's bears a product's name.
    assert found == {"harness/model/oracle/evidence.py: --haproxy-clientip"}
