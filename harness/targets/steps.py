"""Carries out the steps of a verb, and says exactly which one failed and what was seen instead."""

from __future__ import annotations

import re
import signal as signals
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from limpet.harness.model.errors import EndedFault, SetupFault
from limpet.harness.processes import netns
from limpet.harness.targets.answers import Answer, Unanswered, command_answer, http_answer, socket_answer
from limpet.harness.targets.control import Step
from limpet.harness.targets.placeholders import fill

LOOK = 2.0
"""Seconds that one look of a repeated step may take."""
PAUSE = 0.02


class Balancer(Protocol):
    """What steps need of the balancer that they steer."""

    @property
    def name(self) -> str:
        """The target's name, for messages."""

    @property
    def directory(self) -> Path:
        """Commands run in it."""

    @property
    def workdir(self) -> Path:
        """Rendered files go below it."""

    @property
    def namespace(self) -> str:
        """The network namespace of its host, where whoever steers it sits too; "": limpet's own."""

    def text_of(self, template: str) -> str:
        """A template of the target, rendered for the current situation."""

    def signal(self, number: int) -> None:
        """Send a signal to the balancer's process."""

    def output(self) -> str:
        """Everything that it has written since it was launched."""

    def last_lines(self) -> str:
        """The end of that, for messages; "" where there is none."""

    def died(self) -> bool:
        """Whether limpet launched it and it has ended."""


def run(balancer: Balancer, verb: str, steps: Sequence[Step], values: Mapping[str, str]) -> None:
    """Carry out the steps in order.

    Raises:
        SetupFault: a step failed; with target, verb, step, what was seen, and the balancer's own last lines.
        UsageFault: a placeholder or a template is wrong.
    """
    written = len(balancer.output())
    for number, step in enumerate(steps, 1):
        where = f"{balancer.name}: {verb}, step {number} ({step})"
        try:
            with netns.inside(balancer.namespace):
                _step(balancer, step, values, where, written)
        except Unanswered as err:
            raise fault(balancer, f"failed: {err}", where=where) from None


def matches(balancer: Balancer, step: Step, values: Mapping[str, str], where: str) -> bool:
    """One look at a step with ``until``: whether its answer matches now. What does not answer does not match."""
    try:
        with netns.inside(balancer.namespace):
            return _seen(balancer, step, values, where)[0]
    except Unanswered:
        return False


def fault(balancer: Balancer, what: str, *, where: str) -> SetupFault:
    """A setup fault that carries the balancer's own last words."""
    return SetupFault(what, where=where, do=_last_words(balancer))


def ended(balancer: Balancer) -> EndedFault:
    """The fault of a balancer that ended while it was being started, with its own last words."""
    return EndedFault("the balancer ended while starting", where=balancer.name, do=_last_words(balancer))


def _last_words(balancer: Balancer) -> str:
    shown = "\n    ".join(balancer.last_lines().strip().splitlines())
    return f"The balancer's last output:\n    {shown}" if shown else ""


def _step(balancer: Balancer, step: Step, values: Mapping[str, str], where: str, written: int) -> None:
    match step.kind:
        case "render":
            to = fill(step.to, values, where=where) or step.render.rpartition("/")[2].removesuffix(".j2")
            place(balancer.workdir / to, balancer.text_of(step.render))
        case "signal":
            try:
                balancer.signal(signals.Signals[f"SIG{step.signal.removeprefix('SIG')}"])
            except ProcessLookupError:
                raise Unanswered("the balancer is not running") from None
        case "log":
            pattern = re.compile(fill(step.log, values, where=where, pattern=True), re.MULTILINE)
            _until(balancer, step, lambda: _logged(balancer, pattern, step.times, written))
        case _ if step.until:
            _until(balancer, step, lambda: _seen(balancer, step, values, where))
        case _:
            _look(balancer, step, values, where, step.timeout)


def _logged(balancer: Balancer, pattern: re.Pattern[str], times: int, written: int) -> tuple[bool, str]:
    found = len(pattern.findall(balancer.output()[written:]))
    return found >= times, f"{found} of {times} such lines in its output"


def _seen(balancer: Balancer, step: Step, values: Mapping[str, str], where: str) -> tuple[bool, str]:
    """Whether ``until`` matches ``times`` times in a row just now, and what was seen last."""
    pattern = re.compile(fill(step.until, values, where=where, pattern=True), re.MULTILINE)
    answer = Answer(0, "")
    for _ in range(step.times):
        answer = _look(balancer, step, values, where, min(step.timeout, LOOK), judged=False)
        if not pattern.search(answer.text):
            return False, str(answer)
    return True, str(answer)


def _until(balancer: Balancer, step: Step, look: _Look) -> None:
    deadline = time.monotonic() + step.timeout
    while True:
        late = time.monotonic() >= deadline
        try:
            done, seen = look()
        except Unanswered as err:
            done, seen = False, str(err)
        if done:
            return
        if balancer.died():
            raise Unanswered("the balancer has ended")
        if late:
            raise Unanswered(f"waited {step.timeout:g} s for {step.log or step.until!r}; last seen: {seen}")
        time.sleep(PAUSE)


class _Look(Protocol):
    def __call__(self) -> tuple[bool, str]: ...


def _look(
    balancer: Balancer, step: Step, values: Mapping[str, str], where: str, timeout: float, *, judged: bool = True
) -> Answer:
    """Do the step once. ``judged``: a status or exit code that is not expected raises Unanswered."""
    if step.http:
        method, _, address = step.http.partition(" ")
        body = balancer.text_of(step.body_template) if step.body_template else fill(step.body, values, where=where)
        headers = {name: fill(value, values, where=where) for name, value in step.headers.items()}
        answer = http_answer(method, fill(address, values, where=where), body=body, headers=headers, timeout=timeout)
        if judged and answer.code not in step.expect:
            expected = " or ".join(map(str, step.expect))
            raise Unanswered(f"expected {expected}, got {answer}")
        return answer
    if step.exec:
        argv = [fill(word, values, where=where) for word in step.exec]
        answer = command_answer(argv, cwd=balancer.directory, timeout=timeout)
        if judged and answer.code != 0:
            raise Unanswered(f"exit code {answer}")
        return answer
    path = fill(step.socket, values, where=where)
    return Answer(0, socket_answer(path, fill(step.send, values, where=where), timeout=timeout))


def place(path: Path, text: str) -> None:
    """Write a file that a running program may be reading: whole or not at all.

    Raises:
        SetupFault: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, "utf-8")
        fresh.replace(path)
    except OSError as err:
        raise SetupFault(f"cannot be written: {err.strerror}", where=str(path)) from None
