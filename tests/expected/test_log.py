"""What the matrix said is in the log of the tests, also where they pass, are quiet and write into a pipe."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAYS = """
import pytest

@pytest.fixture(scope="module")
def outcome(log):
    log.append("slowest, each beside all the others: one 7.5 s, two 3.1 s")

def test_something(outcome):
    pass
"""


@pytest.mark.parametrize("quiet", [(), ("-q",), ("-qq",)])
def test_lines_of_a_passed_test_are_seen(tmp_path: Path, quiet: tuple[str, ...]) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(SAYS)
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    ended = subprocess.run(
        [*pytest_alone, *quiet, "test_it.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "limpet matrix: slowest, each beside all the others: one 7.5 s, two 3.1 s" in ended.stdout.splitlines()
