"""Verdicts, the result of one behaviour, and what a whole run's exit code says."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum

import msgspec

from limpet.harness.model.violation import Kind, Violation


class Verdict(StrEnum):
    """What limpet says about one behaviour of one target."""

    HELD = "held"
    BROKEN = "broken"
    KNOWN_DEVIATION = "known deviation"
    OBSERVED = "observed"
    INCONCLUSIVE = "inconclusive"
    NOT_PROMISED = "not promised"
    NOT_CHECKABLE = "not checkable"
    SETUP_FAILED = "setup failed"
    HARNESS_ERROR = "harness error"


# Worst first. "Worst of the variants" must never hide an accusation behind a failure of limpet's own, nor call a
# row held because one of its variants could be checked and another could not be decided.
_WORST_FIRST = (
    Verdict.BROKEN,
    Verdict.HARNESS_ERROR,
    Verdict.SETUP_FAILED,
    Verdict.INCONCLUSIVE,
    Verdict.KNOWN_DEVIATION,
    Verdict.NOT_CHECKABLE,
    Verdict.OBSERVED,
    Verdict.HELD,
    Verdict.NOT_PROMISED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a row from those of its variants.

    Raises:
        ValueError: there are none.
    """
    return min(verdicts, key=_WORST_FIRST.index)


class ExitCode(IntEnum):
    """What the process says to the shell."""

    HELD = 0
    BROKEN = 1
    USAGE = 2
    SETUP = 3
    HARNESS = 4
    UNDECIDED = 5


class RequirementRef(msgspec.Struct, frozen=True):
    """A requirement as the reports show it; ``level`` is must, should or observe."""

    id: str
    level: str
    text: str
    sources: tuple[str, ...]
    status: str = "documented"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a scenario in words, ``t`` seconds after its start."""

    t: float
    text: str


class Deviation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A promise that a product is known to break, as ``known-deviations.toml`` accepts it.

    ``behaviour`` names one row (``failover.modes[hang]``) or is a glob over such names. ``happens`` and ``documented``
    are sentences: what it does, and what its documentation says instead. ``since`` and ``until`` are the first and the
    last version that does it ("" for no last one). ``link`` is a page or ``not reported``, ``reproduction`` a script
    that shows it without limpet ("" where there is none), ``file`` where the entry stands. ``kinds`` are the kinds of
    violation that it accepts; empty for all.
    """

    behaviour: str
    happens: str
    since: str
    link: str
    documented: str = ""
    until: str = ""
    reproduction: str = ""
    file: str = ""
    kinds: tuple[Kind, ...] = ()

    def names(self, row: str) -> bool:
        """Whether it means the row of this name."""
        return fnmatch.fnmatchcase(row, literal_brackets(self.behaviour))

    def accepts(self, violations: Iterable[Violation]) -> bool:
        """Whether it excuses all of them: what nobody has looked at is not known."""
        return not self.kinds or all(each.kind in self.kinds for each in violations)


def literal_brackets(glob: str) -> str:
    """A glob in which brackets stand for themselves: people write failover.modes[hang], never character classes."""
    return glob.replace("[", "[[]")


class Result(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The outcome of one behaviour, or one variant of it, on one target.

    ``decided`` counts the requests and samples that could have shown a violation; ``requests`` all that were sent;
    ``waited`` and ``wall`` are seconds. What the check states of itself: ``error_rate``, the probability that it
    accuses a right balancer; ``budget``, the most requests that it sends, but for ``elsewhere``: those that were placed
    elsewhere while users of a certain backend were looked for, of which a balancer may lawfully want as many as it
    likes; ``sees``, the smallest share of faulty answers that it finds with 95 %. ``smallest_visible`` is that share
    for what this run really decided, where it held. None where nothing is stated or can be said.
    ``certainty`` is what those do not say, in words;
    ``history`` is the file with the scenario's records, relative to the run's output directory ("" when none);
    ``packets`` likewise what passed the balancer's link of those whom the violations are about, in pcap format.
    ``product`` is what really runs; ``plays`` is the product whose profile it is judged by, "" where that is the same
    one. ``emulation`` is set where it was set up to play that. Either way nothing is said about the product played.
    ``deviation`` is the entry of ``known-deviations.toml`` that names this row, whatever became of it. ``charted``: its
    history is worth a picture even where nothing is wrong. ``at_first`` is what it was beside the other scenarios where
    that decided nothing, so that it was played a second time by itself; "" where once was enough.
    """

    target: str
    product: str
    profile: str
    behaviour: str
    variant: str = ""
    verdict: Verdict
    reason: str
    emulation: bool = False
    plays: str = ""
    doc: str = ""
    requirements: tuple[RequirementRef, ...] = ()
    violations: tuple[Violation, ...] = ()
    observations: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    decided: int = 0
    requests: int = 0
    elsewhere: int = 0
    waited: float = 0.0
    wall: float = 0.0
    error_rate: float | None = None
    budget: int | None = None
    sees: float | None = None
    smallest_visible: float | None = None
    certainty: str = ""
    history: str = ""
    packets: str = ""
    detail: str = ""
    deviation: Deviation | None = None
    charted: bool = False
    at_first: str = ""

    @property
    def name(self) -> str:
        """``failover.modes[hang]``, or the behaviour alone where it has no variants."""
        return f"{self.behaviour}[{self.variant}]" if self.variant else self.behaviour

    @property
    def falls_short(self) -> bool:
        """Whether it held on less than its check says that it sees; never where time was waited for, which says so."""
        if self.waited or self.sees is None or self.smallest_visible is None:
            return False
        return self.smallest_visible > self.sees

    @property
    def key(self) -> str:
        """Target, profile, behaviour and variant: the same in every run (the Allure history id)."""
        return f"{self.target}/{self.profile}/{self.name}"

    @property
    def only_should(self) -> bool:
        """Whether nothing stronger than a *should* stands behind it: broken, it fails only a strict run."""
        return bool(self.requirements) and all(each.level != "must" for each in self.requirements)

    @property
    def stale(self) -> bool:
        """Whether a known deviation no longer happens: a list that excuses what is right will excuse what is wrong."""
        return self.verdict is Verdict.HELD and self.deviation is not None


class Gate(msgspec.Struct, frozen=True):
    """What must be held for exit 0: globs over behaviour names, and for which target ("" for all).

    A glob asks for what is promised of all that it matches. A name that is written out asks for that one behaviour
    or variant, promised or not.
    """

    pattern: str
    target: str = ""

    def concerns(self, result: Result) -> bool:
        """Whether this gate speaks about that result."""
        pattern = literal_brackets(self.pattern)
        return self.target in ("", result.target) and (
            fnmatch.fnmatchcase(result.name, pattern) or fnmatch.fnmatchcase(result.behaviour, pattern)
        )

    def names(self, result: Result) -> bool:
        """Whether it writes out the name of that behaviour or variant."""
        return self.pattern in (result.name, result.behaviour)


class Judgement(msgspec.Struct, frozen=True):
    """The exit code of a run and the sentences that explain it."""

    code: ExitCode
    reasons: tuple[str, ...]
    summary: str


_SATISFIES = {Verdict.HELD, Verdict.KNOWN_DEVIATION}
_PROMISED = {Verdict.HELD, Verdict.BROKEN, Verdict.KNOWN_DEVIATION, Verdict.INCONCLUSIVE, Verdict.NOT_CHECKABLE,
             Verdict.SETUP_FAILED, Verdict.HARNESS_ERROR}  # fmt: skip


_NAMED = 5
"""Broken rows that the judgement names; each has its own evidence anyway."""


def judge_run(
    results: Sequence[Result], gates: Sequence[Gate] = (), *, strict: bool = False, cut_from: int | None = None
) -> Judgement:
    """The exit code of a run: 3 when nothing could start, else 1, 4, 3 (some rows), 5, 0, whichever applies first.

    A known deviation that no longer happens counts as a broken promise: of whoever keeps the list of them.

    Args:
        results: what was found.
        gates: what must be held.
        strict: a broken *should* fails too.
        cut_from: for an interrupted run, how many results it would have had; such a run is never a success.
    """
    reasons: list[str] = []
    broken = [each for each in results if each.verdict is Verdict.BROKEN and (strict or not each.only_should)]
    stale = [each for each in results if each.stale]
    harness = [each for each in results if each.verdict is Verdict.HARNESS_ERROR]
    setup = [each for each in results if each.verdict is Verdict.SETUP_FAILED]
    started = {*_SATISFIES, Verdict.BROKEN, Verdict.OBSERVED, Verdict.INCONCLUSIVE}
    gated = [reason for gate in gates if (reason := _missed(gate, results))]

    if setup and cut_from is None and not harness and not any(each.verdict in started for each in results):
        code = ExitCode.SETUP
        reasons.append(f"nothing could be started: {setup[0].reason}")
    elif broken or stale:
        code = ExitCode.BROKEN
        reasons += [f"broken: {each.target} {each.name}: {each.reason}" for each in broken[:_NAMED]]
        if len(broken) > _NAMED:
            reasons.append(f"broken: and {len(broken) - _NAMED} more")
        reasons += [f"known deviation: {each.target} {each.name}: {each.reason}" for each in stale]
    elif harness:
        code = ExitCode.HARNESS
        reasons.append(f"limpet itself failed in {len(harness)} rows, first {harness[0].name}: {harness[0].reason}")
    elif setup:
        code = ExitCode.SETUP
        reasons.append(f"{len(setup)} rows could not be set up, first {setup[0].name}: {setup[0].reason}")
    elif gated:
        code = ExitCode.UNDECIDED
    elif not any(each.verdict in _SATISFIES for each in results):
        code = ExitCode.UNDECIDED
        reasons += [] if cut_from is not None else [_nothing_held(results)]
    else:
        code = ExitCode.HELD
    summary = summarize(results)
    if cut_from is not None:
        # What is not promised needs no run and has its verdict at once: it would make little look like much.
        silent = sum(each.verdict is Verdict.NOT_PROMISED for each in results)
        cut = f"interrupted, {len(results) - silent} of {max(cut_from, len(results)) - silent} planned rows judged"
        summary = f"{cut}: {summary}"
        if code in (ExitCode.HELD, ExitCode.UNDECIDED):
            code = ExitCode.UNDECIDED
            some = len(results) > silent
            reasons.append(f"interrupted: {'what was not judged may be broken' if some else 'nothing was judged yet'}")
    return Judgement(code, tuple(reasons + gated), summary)


def _nothing_held(results: Sequence[Result]) -> str:
    """Why a run without a failure is no success."""
    found = {each.verdict for each in results}
    if Verdict.BROKEN in found:
        return "nothing was held; what is broken fails only a strict run"
    if Verdict.INCONCLUSIVE in found:
        return "nothing that is promised could be decided"
    return "nothing is promised of what was checked" if Verdict.OBSERVED in found else "nothing was checked"


def _missed(gate: Gate, results: Sequence[Result]) -> str:
    """Why a gate is not satisfied ("" when it is).

    Rows that the contract does not promise cannot satisfy it, and fail it only where it names them.
    """
    place = f" on {gate.target}" if gate.target else ""
    concerned = [each for each in results if gate.concerns(each)]
    if not concerned:
        return f'required "{gate.pattern}"{place}: no behaviour of that name was run'
    unpromised = {Verdict.NOT_PROMISED, Verdict.OBSERVED}
    undecided = [
        each
        for each in concerned
        if each.verdict not in _SATISFIES and (gate.names(each) or each.verdict not in unpromised)
    ]
    if undecided:
        first = undecided[0]
        return f'required "{gate.pattern}"{place}: {first.name} is {first.verdict}: {first.reason}'
    if not any(each.verdict in _SATISFIES for each in concerned):
        first = concerned[0]
        return f'required "{gate.pattern}"{place}: {first.name} is {first.verdict}: {first.reason}'
    return ""


def summarize(results: Sequence[Result]) -> str:
    """The last line: ``held 12 of 48 promised, 36 not checkable``."""
    promised = [each for each in results if each.verdict in _PROMISED]
    counts = {verdict: sum(each.verdict is verdict for each in results) for verdict in Verdict}
    parts = [f"held {counts[Verdict.HELD]} of {len(promised)} promised"]
    for verdict in _WORST_FIRST:
        if verdict not in (Verdict.HELD, Verdict.NOT_PROMISED) and counts[verdict]:
            parts.append(f"{counts[verdict]} {verdict}")
    return ", ".join(parts)
