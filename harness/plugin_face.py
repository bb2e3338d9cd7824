"""What `limpet run` adds to the pytest face: its own run, silence instead of pytest's output, and its exit code."""

from __future__ import annotations

import sys

import pytest

from limpet.harness.engine.collecting import unreadable
from limpet.harness.engine.plan import matches
from limpet.harness.model.contract.validation import nearest
from limpet.harness.model.errors import HarnessFault, LimpetFault, UsageFault
from limpet.harness.model.verdict import ExitCode
from limpet.harness.plugin import FACE, OPTIONS, SESSION, BehaviourItem
from limpet.harness.session import RunSession


class Face:
    """A plugin for one `pytest.main`.

    Args:
        run: what the command line asked for.
    """

    def __init__(self, run: RunSession) -> None:
        self._run = run
        self._faults: list[LimpetFault] = []
        self._crash: BaseException | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Takes pytest's terminal away: limpet's own report speaks."""
        config.stash[OPTIONS] = self._run.options
        config.stash[SESSION] = self._run
        config.stash[FACE] = True
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object]) -> None:
        """A suite that cannot be collected ends the run: what it would have checked would silently be missing."""
        if isinstance(node, pytest.Item) or call.excinfo is None:
            return
        error = call.excinfo.value
        if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
            error = error.__cause__
        self._faults.append(error if isinstance(error, LimpetFault) else unreadable(node.path, error))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """A glob that matches nothing is a mistake, and a run without what it meant would look like success.

        Raises:
            UsageFault: one of --behaviour or --require matches nothing, or a requirement names no behaviour.
        """
        if self._faults:
            return
        self._run.check_names(whole=True)
        jobs = [item.job for item in session.items if isinstance(item, BehaviourItem)]
        valid = {*self._run.behaviours} | {job.name for job in jobs}
        for option, globs in (("--behaviour", self._run.options.behaviours), ("--require", self._run.options.require)):
            for glob in globs:
                if not any(matches(glob, job) for job in jobs):
                    raise UsageFault(
                        f'no behaviour of this run matches "{glob}"; {nearest(glob, valid)}',
                        where=option,
                        do="`limpet behaviours` lists them.",
                    )

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """An error of the run itself, told when pytest has ended."""
        if isinstance(excinfo.value, LimpetFault):
            self._faults.append(excinfo.value)
        else:
            self._crash = excinfo.value
        return True

    def exit_code(self, code: int) -> int:
        """limpet's exit code from pytest's and the run's judgement.

        Raises:
            LimpetFault: what kept the run from being whole, unless a promise was broken nevertheless.
        """
        if self._crash is not None:
            raise self._crash
        judgement = self._run.judgement
        if self._faults:
            fault, *more = self._faults
            for each in more:
                print(f"limpet: {each}", file=sys.stderr)  # noqa: T201
            if judgement is not None and judgement.code is ExitCode.BROKEN:
                print(f"limpet: {fault}", file=sys.stderr)  # noqa: T201
                return judgement.code
            raise fault
        if judgement is not None:
            return judgement.code
        if code == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        raise HarnessFault(f"the run ended without a judgement; pytest's exit code was {code}")
