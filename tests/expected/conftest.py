"""What a run of the matrix said of itself stands at the end of the tests' log, however quiet pytest is.

A line that a fixture writes to the terminal while a test is set up is taken for that test's own output, which pytest
shows only where the test fails.
"""

from __future__ import annotations

import pytest

SAID = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def log(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the end of the log."""
    return request.config.stash.setdefault(SAID, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints them."""
    lines = config.stash.get(SAID, [])
    if lines:
        terminalreporter.section("limpet matrix")
        for line in lines:
            terminalreporter.write_line(f"limpet matrix: {line}")
