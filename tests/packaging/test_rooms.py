"""What docs/design.md says about imports and no contract of import-linter holds."""

from __future__ import annotations

import ast
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
