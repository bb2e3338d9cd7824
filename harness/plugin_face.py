"""What `limpet run` adds to the pytest face: its own run, silence instead of pytest's output, and its exit code."""

from __future__ import annotations

import sys

import pytest

from limpet.harness.engine.collecting import unreadable
from limpet.harness.engine.plan import known_names, matches, matches_name
from limpet.harness.model.contract.validation import nearest_pattern
from limpet.harness.model.errors import HarnessFault, LimpetFault, UsageFault, together
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
            UsageFault: some of --behaviour and --require match nothing, or a requirement names no behaviour.
        """
        if self._faults:
            return
        self._run.check_names(whole=True)
        jobs = [item.job for item in session.items if isinstance(item, BehaviourItem)]
        asked = (("--behaviour", self._run.options.behaviours), ("--require", self._run.options.require))
        wrong = [
            UsageFault(self._unmatched(glob), where=option, do="`limpet behaviours` lists them.")
            for option, globs in asked
            for glob in globs
            if not any(matches(glob, job) for job in jobs)
        ]
        if wrong:
            raise together(wrong)

    def _unmatched(self, glob: str) -> str:
        """What is wrong with a glob that none of this run's jobs matches."""
        names = set(self._run.behaviours)
        for behaviour, variants in known_names(self._run.behaviours.values()).items():
            names |= {f"{behaviour}[{variant}]" for variant in variants or () if variant}
        if any(matches_name(glob, name) for name in names):
            return f'"{glob}" is no behaviour of this run: its targets or --behaviour leave it out'
        return f'no behaviour of this run matches "{glob}"; {nearest_pattern(glob, names)}'

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
