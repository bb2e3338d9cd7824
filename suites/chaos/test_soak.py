"""A long time at load, with a fault now and then."""

from __future__ import annotations

import math
import time

from limpet import (
    Inconclusive,
    LoadedTarget,
    Nemesis,
    Observed,
    Scenario,
    Traffic,
    behaviour,
    everybody_is_served,
    perform,
    printed,
    steady_plan,
)
from limpet.harness.model.statistics import proportion_interval

SHIFT = 20.0
"""Seconds after which everybody goes home and is judged, and others come: a history of hours does not fit in memory."""
USERS = 3
"""For each backend, at the beginning of each shift."""
NEW = 60
CONFIDENCE = 0.95
MIB = 1024 * 1024


def most_shifts(duration: float) -> int:
    """How many shifts a soak of so many seconds has at the most; each has a round of faults, which was told before.

    A whole one lasts three quarters of its time at the least; towards the end they get shorter.
    """
    return math.ceil(duration / (0.75 * SHIFT)) + 2


def foretold(loaded: LoadedTarget, seed: str, duration: float) -> str:
    """What each shift does; towards the end there may be fewer."""
    shifts = range(1, 1 + most_shifts(duration))
    plans = [steady_plan(loaded, f"{seed}/{number}", 1, wired=False) for number in shifts]
    return "\n".join(f"shift {number}:\n{printed(plan)}" for number, plan in zip(shifts, plans, strict=True))


@behaviour(
    "chaos.soak",
    fields=("reaction.unhealthy",),
    needs=("kill",),
    touches="backends",
    wired=True,
    lengthy=True,
    charted=True,
    foretells=foretold,
    certainty="It lasts for `--duration`; the interval is that of the share of wrong answers, exact (Clopper-Pearson)",
    error_rate=0.0,
    budget=10_000_000,
)
def test_soak(s: Scenario) -> None:
    """A long time at load with rare faults: how often anything goes wrong, and what the balancer's memory does."""
    s.need_members(2)
    begin = time.monotonic()
    end = begin + s.system.soak
    memory = [resident(s)]
    answers = failed = faults = shifts = 0
    while not shifts or (shifts < most_shifts(s.system.soak) and time.monotonic() < end):
        shifts += 1
        users = [user for group in s.pinned_to_each(USERS).values() for user in group]
        fresh = [s.client() for _ in range(NEW)]
        left = min(SHIFT, end - time.monotonic())
        with Nemesis(s.system) as nemesis, Traffic(s, users, newcomers=fresh, pause=0.01) as traffic:
            s.real_wait(left / 4)
            seed = f"{s.plan_seed}/{shifts}"
            plan = steady_plan(s.system.loaded, seed, 1, wired=s.system.wired, linked=s.system.linked, names=s.names)
            perform(plan, nemesis, s.real_wait)
            s.real_wait(max(left / 4, min(SHIFT, end - time.monotonic()) / 2))
        for user in users:
            user.visit(new_connection=True)
        s.close()
        answers, failed, faults = answers + traffic.sent, failed + traffic.failed, faults + len(plan)
        memory.append(resident(s))
        s.conclude()
        s.progress(said(s, time.monotonic() - begin, answers, failed, faults))
    reached = everybody_is_served(s)
    s.observe(said(s, time.monotonic() - begin, answers, failed, faults))
    known = [each for each in memory if each is not None]
    if known:
        s.observe(
            f"memory of the balancer: {known[0]:.1f} MiB at first, {max(known):.1f} at most, {known[-1]:.1f} at last"
        )
    unhealthy = s.contract.reaction.unhealthy
    if unhealthy is None or not unhealthy.binding:
        raise Observed(s.observations[0])
    # Where each connection is placed for itself no single answer decides; that new ones are served again does.
    s.decided += reached
    if not s.decided:
        raise Inconclusive("no request could have shown a violation")


def resident(s: Scenario) -> float | None:
    """The balancer's memory in MiB, noted for the report; None where limpet did not start it."""
    size = s.system.target.memory()
    if size is None:
        return None
    s.measure("memory of the balancer", round(size / MIB, 2), "MiB")
    return size / MIB


def said(s: Scenario, seconds: float, answers: int, failed: int, faults: int) -> str:
    """How far it is, with the rate of violations and its interval."""
    wrong, decided = len(s.violations), s.decided
    text = f"{seconds:.0f} s, {answers} requests, {faults} faults, {failed} failed requests"
    if not decided:
        return text
    interval = proportion_interval(min(wrong, decided), decided, CONFIDENCE)
    rate = f"{wrong} of {decided} that could show one are violations"
    return f"{text}, {rate}: {interval.low:.3%} to {interval.high:.3%} ({CONFIDENCE:.0%})"
