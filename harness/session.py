"""One run as both faces need it: which targets and behaviours, with which seed, and who is told about it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import limpet
from limpet.harness.chaos.proxies.wires import MAKERS, Made, lacking
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.cleaning import clean
from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.crew import Crew
from limpet.harness.engine.ground import SOAK
from limpet.harness.engine.judging import scenario_seed
from limpet.harness.engine.leftovers import heal_leftovers
from limpet.harness.engine.plan import Job, known_names, plan, rows_of
from limpet.harness.engine.scenario import plan_seed
from limpet.harness.engine.upgrade import unfit
from limpet.harness.engine.wiring import why_not_wired
from limpet.harness.model.errors import LimpetFault, SetupFault, UsageFault, together
from limpet.harness.model.events import Event, Handler, RunFinished, RunStarted, TargetInfo
from limpet.harness.model.verdict import Gate, Judgement, Result, Verdict, judge_run
from limpet.harness.network.site import Name
from limpet.harness.targets.bundled import startable
from limpet.harness.targets.deviations import in_force, unknown_names
from limpet.harness.targets.load import LoadedTarget, check_behaviours, load
from limpet.harness.targets.override import Override
from limpet.harness.targets.versions import documented_otherwise, version_of

MARK = ".limpet-results"
_MARK_TEXT = "This folder holds the results of a run of limpet, and the next run into it replaces them.\n"
_OURS = (
    "conformance.json", "summary.md", "report.html", "allure-results", "histories", "pictures",
    "matrix.html", "matrix.json",
)  # fmt: skip


@dataclass
class Options:
    """What was asked for, on the command line or as options of pytest.

    Attributes:
        targets: directories or bundled names; empty for the bundled ones that can be started here.
        all_targets: of these not only the shown ones, but all.
        profile: judge by this profile instead of the targets' own.
        behaviours: globs over behaviour names; empty for all.
        require: globs of what must be held for exit 0, besides the targets' own gates.
        out: where results go.
        seed: None for a fresh one.
        upgrade_to: the target that keys of the only one in ``targets`` are replayed to, None for no such thing.
        strict: a broken *should* fails too.
        jobs: how many workers share the scenarios; None for one each core.
        survey: whether the targets are many, named or not: what takes long is left out.
        duration: seconds that a soak lasts.
        yes: whether plans of faults may happen to balancers that limpet did not start.
        proxies: what the fault proxies between balancer and backends are made of.
        command: the line that repeats this run, but for the seed.
        override: another entry point in the targets' place.
        network: where traffic comes from.
    """

    targets: tuple[str, ...] = ()
    all_targets: bool = False
    profile: str | None = None
    behaviours: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    out: Path = Path("limpet-out")
    seed: int | None = None
    upgrade_to: str | None = None
    strict: bool = False
    jobs: int | None = None
    proxies: Made = "embedded"
    survey: bool = False
    duration: float = SOAK
    yes: bool = False
    command: str = "limpet run"
    override: Override | None = None
    network: Name = "loopback"


@dataclass
class RunSession:
    """Plans, runs and reports.

    Args:
        options: what was asked for.
        handlers: who is told.
    """

    options: Options
    handlers: Sequence[Handler]
    loaded: list[LoadedTarget] = field(init=False)
    seed: int = field(init=False)
    judgement: Judgement | None = field(default=None, init=False)
    runner: Crew | None = field(default=None, init=False)
    behaviours: dict[str, Behaviour] = field(default_factory=dict, init=False)
    foretold: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        wanted = self.options.targets or tuple(startable(shown_only=not self.options.all_targets))
        self.loaded = [self._as_asked(each) for each in self._load(wanted)]
        self._check_network()
        if self.options.upgrade_to is not None:
            self.loaded = [self._upgraded(self.options.upgrade_to)]
        named = [each.target.name for each in self.loaded]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise UsageFault(f'two targets have the name "{twice[0]}"', do="reports and histories go by it; rename one")
        self.seed = self.options.seed if self.options.seed is not None else secrets.randbelow(1_000_000_000)

    def _load(self, wanted: Sequence[str]) -> list[LoadedTarget]:
        loaded: list[LoadedTarget] = []
        faults: list[UsageFault] = []
        for name in wanted:
            try:
                loaded.append(load(name, profile=self.options.profile))
            except UsageFault as fault:
                faults.append(fault)
        if faults:
            raise together(faults)
        return loaded

    def _check_network(self) -> None:
        """Sees that the network can be had, before anything is built.

        Raises:
            SetupFault: this machine has no such thing.
            UsageFault: it cannot be around what runs already.
        """
        if self.options.network == "loopback":
            return
        from limpet.harness.network.namespaces import missing

        if reason := missing():
            raise SetupFault(reason, where="--network namespace", do="Run as root, or leave it at --network loopback.")
        outside = [each.target.name for each in self.loaded if each.target.of_yours]
        if outside:
            raise UsageFault(
                f"{', '.join(outside)} runs outside of the lab, or its backends do; a lab has no way out and none in",
                where="--network namespace",
                do="Judge what limpet does not start with --network loopback.",
            )

    def _as_asked(self, loaded: LoadedTarget) -> LoadedTarget:
        known = in_force(loaded.deviations, version_of(loaded))
        return replace(loaded, override=self.options.override, deviations=known)

    def _upgraded(self, name: str) -> LoadedTarget:
        if len(self.loaded) != 1:
            raise UsageFault(
                f"{len(self.loaded)} targets cannot be upgraded to one", where="--upgrade-to", do="Give one --target."
            )
        (loaded,), newer = self.loaded, load(name)
        if reason := unfit(loaded, newer):
            raise UsageFault(reason, where=f"--upgrade-to {name}")
        return replace(loaded, newer=newer)

    def jobs_of(self, behaviour: Behaviour) -> list[Job]:
        """What is to be run of one behaviour, on all targets.

        Raises:
            UsageFault: there is another behaviour of that id: results go by it.
        """
        other = self.behaviours.setdefault(behaviour.id, behaviour)
        if other.test is not behaviour.test:
            places = [
                f"{each.test.__code__.co_filename}:{each.test.__code__.co_firstlineno}" for each in (other, behaviour)
            ]
            raise UsageFault(
                f'two behaviours have the id "{behaviour.id}"', where=" and ".join(places), do="Rename one."
            )
        if behaviour.lengthy and self.cursory:
            return []
        return [
            self.allowed(job)
            for loaded in self.loaded
            for job in plan(loaded, (behaviour,), self.options.behaviours, self.options.network)
        ]

    def allowed(self, job: Job) -> Job:
        """A job, settled already where it wants fault proxies that are not there.

        One that will do several things at once to a balancer of the user's is foretold, and goes on only after a yes.
        """
        if job.settled is None and job.behaviour.wired and self.options.network == "loopback":
            reason = lacking(self.options.proxies)
            if reason and not why_not_wired(job.loaded):
                return replace(job, settled=Verdict.NOT_CHECKABLE, reason=reason)
        foretells = job.behaviour.foretells
        target = job.loaded.target
        if foretells is None or job.settled is not None or not target.of_yours:
            return job
        text = foretells(job.loaded, plan_seed(scenario_seed(self.seed, job)), self.options.duration)
        whose = "which" if target.launch is None else "whose backends"
        self.foretold.append(f"{job.name} will do this to {target.name}, {whose} limpet did not start:\n{text}")
        if self.options.yes or in_ci():
            return job
        reason = f"its plan of faults for {target.name} is printed above; --yes lets it happen"
        return replace(job, settled=Verdict.NOT_CHECKABLE, reason=reason)

    @property
    def cursory(self) -> bool:
        """Whether the run is a look over many targets, so that what takes long is left out unless it is named."""
        return not self.options.behaviours and (self.options.survey or not self.options.targets)

    def check_names(self, *, whole: bool) -> None:
        """Sees that requirements and known deviations name behaviours that exist.

        Args:
            whole: everything there is was collected; else the bundled suites are looked at too.

        Raises:
            UsageFault: some do not, with every one of them.
        """
        there = [*self.behaviours.values(), *(() if whole else behaviours((SUITES,)))]
        faults: list[UsageFault] = []
        try:
            check_behaviours([(each.source, each.catalogue) for each in self.loaded], known_names(there))
        except UsageFault as fault:
            faults.append(fault)
        for each in self.loaded:
            if wrong := unknown_names(each.deviations, rows_of(there, each.contract)):
                faults.append(UsageFault("\n".join(wrong), do="`limpet run -v` prints rows by their full name."))
        if faults:
            raise together(faults)

    def start(self, jobs: Sequence[Job]) -> Crew:
        """Starts the jobs. Results of an earlier run in the same place are removed first."""
        out = self.options.out
        prepare(out)
        self._undo()
        for text in self.foretold:
            sys.stderr.write(f"limpet: {text}\n")
        run = secrets.token_hex(4)
        self.runner = Crew(
            self.seed,
            jobs,
            out,
            self._emit,
            processes=self.options.jobs,
            network=self.options.network,
            run=run,
            wires=MAKERS[self.options.proxies],
            soak=self.options.duration,
        )
        self.runner.start()  # before anybody is told: a report that moves on the screen has a thread
        self._emit(
            RunStarted(
                run=run,
                seed=self.seed,
                version=limpet.__version__,
                started=datetime.now(UTC).isoformat(timespec="seconds"),
                targets=tuple(self._info(each) for each in self.loaded),
                planned=len(jobs),
                command=f"{self.options.command} --seed {self.seed}",
            )
        )
        return self.runner

    def _undo(self) -> None:
        """Undoes what killed runs have left. What cannot be undone of another target is said, and stops nobody here.

        Raises:
            SetupFault: one of this run's own targets could not be healed.
        """
        for text in heal_leftovers(self.loaded):
            sys.stderr.write(f"limpet: {text}\n")
        faults: list[LimpetFault] = []
        try:
            for text in heal_leftovers():
                sys.stderr.write(f"limpet: {text}\n")
        except SetupFault as fault:
            faults.append(fault)
        for each in (*faults, *clean(balancers=False).faults):
            sys.stderr.write(f"limpet: {each}\n")

    def finish(self, *, interrupted: bool = False) -> Judgement | None:
        """Takes everything apart and tells the end; None when the run had not begun."""
        if self.runner is None:
            return None
        runner, self.runner = self.runner, None
        runner.drain()
        runner.close()
        results = runner.results_so_far if interrupted else runner.results
        cut_from = runner.planned if interrupted else None
        self.judgement = judge_run(results, self.gates(results), strict=self.options.strict, cut_from=cut_from)
        self._emit(RunFinished(results, self.judgement, runner.wall, runner.waited, interrupted))
        return self.judgement

    def gates(self, results: Sequence[Result]) -> list[Gate]:
        """What must be held: the targets' own gates and those that were asked for."""
        own = [Gate(glob, each.target.name) for each in self.loaded for glob in each.target.gate.require]
        if self.options.behaviours:  # who asks for some behaviours only does not ask for the gates of the others
            own = [gate for gate in own if any(gate.concerns(result) for result in results)]
        return own + [Gate(glob) for glob in self.options.require]

    def _emit(self, event: Event) -> None:
        for handler in self.handlers:
            handler.handle(event)

    def _info(self, loaded: LoadedTarget) -> TargetInfo:
        target = loaded.target
        return TargetInfo(
            name=target.name,
            title=target.title or target.name,
            product=loaded.runs,
            profile=loaded.profile,
            version=version_of(loaded),
            documented=documented_otherwise(loaded),
            emulation=loaded.emulation,
            plays=loaded.plays,
            network=self.options.network,
            contract=json.dumps(loaded.contract.model_dump(mode="json", exclude_none=True), sort_keys=True),
        )


def in_ci() -> bool:
    """Whether nobody is there to be asked: the environment variable `CI` is set, and not to a no."""
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no", "off")


def prepare(out: Path) -> None:
    """Makes the output directory, without an earlier run's results.

    Raises:
        UsageFault: it cannot be made or written, or holds things of that name that are no results of limpet, and so
            not limpet's to remove.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / "target.toml").exists():
            raise UsageFault("holds a target.toml", where=str(out), do="Results go elsewhere: choose another --out.")
        mark = out / MARK
        ours = mark.exists() or (out / "conformance.json").exists()
        strangers = [] if ours else [name for name in _OURS if (out / name).exists()]
        if strangers:
            raise UsageFault(
                f"holds {strangers[0]}, which no run of limpet is known to have written",
                where=str(out),
                do="Choose another --out, or move that away.",
            )
        mark.write_text(_MARK_TEXT, "utf-8")
        for name in _OURS:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as err:
        raise UsageFault(f"cannot be written: {err.strerror}", where=str(out), do="Choose another --out.") from err
