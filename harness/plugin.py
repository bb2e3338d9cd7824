"""The pytest face: every behaviour on every target is an item of its own, and all of them run side by side.

pytest collects and reports; the engine runs. An item's `runtest` waits for its result and says it in pytest's words.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from limpet.harness.engine.behaviour import ATTRIBUTE, Behaviour
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Verdict

if TYPE_CHECKING:
    from limpet.harness.engine.plan import Job
    from limpet.harness.session import Options, RunSession

OPTIONS = pytest.StashKey["Options"]()
SESSION = pytest.StashKey["RunSession"]()
FACE = pytest.StashKey[bool]()
"""Set where `limpet run` drives pytest and says itself what is wrong."""


class BrokenPromise(AssertionError):
    """The balancer broke a promise."""


class StaleDeviation(AssertionError):
    """A known deviation no longer happens, and its entry would excuse the next one."""


class Undecided(Exception):
    """Inconclusive, setup failed or harness error: nothing is said about the balancer."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for plain pytest; `limpet run` has its own."""
    group = parser.getgroup("limpet", "conformance of sticky load balancers")
    group.addoption("--limpet-target", action="append", default=[], metavar="DIR", help="target directory or name")
    group.addoption("--limpet-profile", metavar="P", help="judge by this profile instead of the target's own")
    group.addoption("--limpet-behaviour", action="append", default=[], metavar="GLOB", help="only these behaviours")
    group.addoption("--limpet-out", default="limpet-out", metavar="DIR", help="where histories and reports go")
    group.addoption("--limpet-seed", type=int, metavar="N", help="repeat the run of this seed")
    group.addoption("--limpet-strict", action="store_true", help="a broken `should` fails too")


def options_of(config: pytest.Config) -> Options:
    """What was asked for: by `limpet run`, or by pytest's options."""
    from limpet.harness.session import Options

    if OPTIONS not in config.stash:
        get = config.getoption
        config.stash[OPTIONS] = Options(
            targets=tuple(get("--limpet-target")),
            profile=get("--limpet-profile"),
            behaviours=tuple(get("--limpet-behaviour")),
            out=Path(get("--limpet-out")),
            seed=get("--limpet-seed"),
            strict=get("--limpet-strict"),
            command="pytest " + " ".join(config.invocation_params.args),
        )
    return config.stash[OPTIONS]


def run_session(config: pytest.Config) -> RunSession:
    """The run of this pytest session."""
    from limpet.harness.model.errors import LimpetFault
    from limpet.harness.session import RunSession
    from limpet.reports.collection import Fanout, standard_handlers

    if SESSION not in config.stash:
        options = options_of(config)
        handlers = Fanout([each for each in standard_handlers(options.out) if not _on_screen(each)])
        try:
            config.stash[SESSION] = RunSession(options, [handlers])
        except LimpetFault as fault:
            pytest.exit(str(fault), returncode=pytest.ExitCode.USAGE_ERROR)
    return config.stash[SESSION]


def _on_screen(handler: object) -> bool:
    return type(handler).__name__ == "TerminalReport"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """A function that carries a behaviour becomes one item for each target and variant."""
    behaviour = getattr(obj, ATTRIBUTE, None)
    if not isinstance(behaviour, Behaviour):
        return None
    session = run_session(collector.config)
    return [
        BehaviourItem.from_parent(collector, name=job.key, job=job, line=_line(obj))
        for job in session.jobs_of(behaviour)
    ]


def _line(obj: object) -> int:
    code = getattr(obj, "__code__", None)
    return int(code.co_firstlineno) - 1 if code is not None else 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuses what cannot work with scenarios that run side by side."""
    if not _items(session):
        return
    option = session.config.option
    if getattr(option, "numprocesses", None):
        raise pytest.UsageError("limpet runs its scenarios side by side itself; leave out -n")
    if getattr(option, "usepdb", False):
        raise pytest.UsageError("limpet's scenarios run in threads, where --pdb cannot stop them; leave it out")
    if FACE not in session.config.stash:
        try:
            run_session(session.config).check_names(whole=False)
        except UsageFault as fault:
            raise pytest.UsageError(str(fault)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Starts all scenarios before the first item waits for its result, and ends them after the last."""
    items = _items(session)
    if not items or session.config.option.collectonly:
        return (yield)
    run = run_session(session.config)
    interrupted = True
    try:
        run.start([item.job for item in items])
        outcome = yield
        interrupted = bool(session.shouldstop or session.shouldfail)
        return outcome
    finally:
        run.finish(interrupted=interrupted)


def _items(session: pytest.Session) -> list[BehaviourItem]:
    return [item for item in session.items if isinstance(item, BehaviourItem)]


class BehaviourItem(pytest.Item):
    """One behaviour, or one variant of it, on one target."""

    def __init__(self, *, job: Job, line: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.job = job
        self._line = line

    def runtest(self) -> None:
        """Waits for the result and raises what it means."""
        from limpet.reports.allure import annotate

        run = run_session(self.config)
        assert run.runner is not None
        result = run.runner.result(self.job.key)
        message = str(annotate(result, out=run.options.out, seed=run.seed).message)
        if result.verdict is Verdict.BROKEN:
            if run.options.strict or not result.only_should:
                raise BrokenPromise(message)
        elif result.stale:
            raise StaleDeviation(message)
        elif result.verdict in (Verdict.INCONCLUSIVE, Verdict.SETUP_FAILED, Verdict.HARNESS_ERROR):
            raise Undecided(message)
        elif result.verdict not in (Verdict.HELD, Verdict.OBSERVED):
            pytest.skip(message)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The message alone: a traceback through the harness says nothing about a balancer."""
        if isinstance(excinfo.value, BrokenPromise | StaleDeviation | Undecided):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where its test stands."""
        return self.path, self._line, self.job.key
