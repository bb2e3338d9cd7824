"""What `limpet run` adds to the pytest face: its options, its reports, and silence instead of pytest's own output."""

from __future__ import annotations

import pytest

from limpet.harness.model.errors import LimpetFault
from limpet.harness.model.verdict import Judgement
from limpet.harness.plugin import HANDLERS, OPTIONS, SESSION
from limpet.harness.session import Options
from limpet.reports.collection import Fanout


class Face:
    """A plugin for one `pytest.main`.

    Args:
        options: what the command line asked for.
        handlers: the reports.
    """

    def __init__(self, options: Options, handlers: Fanout) -> None:
        self._options = options
        self._handlers = handlers
        self.judgement: Judgement | None = None
        self.problems: list[str] = []
        self.fault: LimpetFault | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Takes pytest's terminal away: limpet's own report speaks."""
        config.stash[OPTIONS] = self._options
        config.stash[HANDLERS] = [self._handlers]
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A suite that cannot be collected is a problem to be told."""
        if report.failed:
            self.problems.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """An error of the run itself: a fault speaks for itself, anything else with its place."""
        if isinstance(excinfo.value, LimpetFault):
            self.fault = excinfo.value
            self.problems.append(str(excinfo.value))
        else:
            self.problems.append(f"{excinfo.typename}: {excinfo.value} ({excinfo.getrepr(style='short')})")
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keeps the judgement."""
        run = session.config.stash.get(SESSION, None)
        if run is not None:
            self.judgement = run.judgement
