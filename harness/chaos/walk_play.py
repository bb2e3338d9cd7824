"""Plays a walk on a scenario by the deployment's own verbs, and tells it as a story.

Nothing here is random: the same steps on a fresh deployment send the same requests in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from limpet.harness.chaos.walk import REFERENCE, Step, lifetime
from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.errors import HarnessFault, SetupFault

DURING = 8
"""Visits at the most while the balancer has not noticed a fault yet."""

_FAILING = 503
"""What a backend's health path answers when it fails."""


_ANEW = ("add", "remove", "drain", "undrain", "weight", "reorder", "reload", "change", "restart", "affinity-off",
         "affinity-on")  # fmt: skip
"""After these many balancers run with another configuration, or another process."""


@dataclass(frozen=True)
class Told:
    """One step as it was played.

    Attributes:
        step: which one, from 0.
        t: when it began, seconds of CLOCK_MONOTONIC.
        text: what happened, in a sentence.
        played: False for a step that had no sense at its moment.
    """

    step: int
    t: float
    text: str
    played: bool = True


class _Senseless(Exception):
    """The step has no sense at this moment; the message says why."""


@dataclass
class _User:
    client: Client
    homes: list[str] = field(default_factory=list)
    first_cookies: str | None = None

    def answered(self, exchange: Exchange) -> str:
        """Remembers who answered, and what it was given first; says it in words."""
        before = self.homes[-1] if self.homes else ""
        if exchange.backend and exchange.backend != before:
            self.homes.append(exchange.backend)
        if self.first_cookies is None and exchange.ok:
            self.first_cookies = self.client.cookie_header()
        moved = f", before {before}" if before and exchange.backend and before != exchange.backend else ""
        return (exchange.backend or exchange.error or f"status {exchange.status}") + moved


class Play:
    """One performance of a walk.

    Args:
        scenario: on a deployment in its first state; its history and its users are this play's own.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._users: dict[int, _User] = {}
        self._down: list[str] = []
        self._drained: list[str] = []
        self._added: list[str] = []
        self.told: list[Told] = []

    def run(self, steps: Sequence[Step]) -> None:
        """Plays all steps. Where the balancer's process ends, the walk ends there: that is the last thing told.

        Raises:
            SetupFault: a verb failed although the balancer lives.
        """
        for user in range(1, 1 + max((each for step in steps for each in step.users), default=0)):
            self._users[user] = _User(self._scenario.client())  # all at first: a user's number is the name's number
        for number, step in enumerate(steps):
            begin = time.monotonic()
            try:
                text, played = self._play(step), True
                if step.do in _ANEW:
                    self._find_out_again()
            except _Senseless as err:
                text, played = f"{step.do}: passed over, {err}", False
            except SetupFault as err:
                if self._scenario.system.target.alive():
                    raise
                text, played = f"{step.do}: the balancer's process has ended ({err.reason})", True
            self.told.append(Told(number, begin, text, played))
            self._scenario.step(text)
            if not self._scenario.system.target.alive():
                return

    def step_at(self, t: float) -> int:
        """The step that was under way at this moment (monotonic seconds); -1 before the first."""
        return max((told.step for told in self.told if told.t <= t), default=-1)

    def _play(self, step: Step) -> str:
        system = self._scenario.system
        match step.do:
            case "visit":
                return "visits: " + "; ".join(self._visit(user, step) for user in step.users)
            case "strangers":
                return f"{step.strangers} requests of strangers: {', '.join(self._strangers(step.strangers))}"
            case "kill" | "hang" | "reset" | "health":
                return self._fault(step)
            case "revive":
                name = self._named(step)
                if name not in self._down:
                    raise _Senseless(f"{name} is not down")
                seen: list[str] = []
                system.revive(name, meanwhile=self._meanwhile(step, seen))
                self._down.remove(name)
                return _meanwhile(f"{name} is back", seen)
            case "clock":
                seconds = step.lifetimes * (lifetime(self._scenario.contract) or 0.0)
                self._scenario.wait(seconds)
                return f"{seconds:g} s pass"
            case "reload" | "change" | "restart":
                {"reload": system.reload, "change": system.change, "restart": system.restart}[step.do]()
                return {
                    "reload": "the unchanged configuration is reloaded",
                    "change": "something of the configuration changes that has nothing to do with stickiness",
                    "restart": "the balancer restarts",
                }[step.do]
            case "affinity-on" | "affinity-off":
                system.affinity(step.do == "affinity-on")
                return f"stickiness is switched {step.do.removeprefix('affinity-')}"
            case _:
                return self._membership(step)

    def _membership(self, step: Step) -> str:
        system = self._scenario.system
        if step.do == "add":
            name = system.add(weight=step.weight)
            self._added.append(name)
            return f"{name} joins the pool"
        if step.do == "reorder":
            system.reorder(system.names[::-1])
            return "the members are listed in the reverse order"
        name = self._named(step)
        if step.do == "weight":
            system.weight(name, step.weight)
            return f"{name} gets weight {step.weight}"
        if step.do == "undrain":
            if name not in self._drained:
                raise _Senseless(f"{name} is not draining")
            system.drain(name, draining=False)
            self._drained.remove(name)
            return f"{name} drains no more"
        self._others_open(name)
        if step.do == "drain":
            if name in self._drained:
                raise _Senseless(f"{name} drains already")
            system.drain(name)
            self._drained.append(name)
            return f"{name} drains"
        if step.do != "remove":
            raise HarnessFault(f"a walk has no step `{step.do}`")
        system.remove(name)
        for group in (self._down, self._drained, self._added):
            if name in group:
                group.remove(name)
        return f"{name} leaves the pool"

    def _fault(self, step: Step) -> str:
        system, name = self._scenario.system, self._named(step)
        if name in self._down:
            raise _Senseless(f"{name} is down already")
        self._others_open(name)
        seen: list[str] = []
        meanwhile = self._meanwhile(step, seen)
        self._down.append(name)
        match step.do:
            case "kill":
                system.kill(name, meanwhile=meanwhile)
                text = f"{name} dies"
            case "hang":
                system.hang(name, meanwhile=meanwhile)
                text = f"{name} hangs"
            case "reset":
                system.reset(name, meanwhile=meanwhile)
                text = f"{name} resets every connection"
            case _:
                system.health(name, _FAILING, meanwhile=meanwhile)
                text = f"the health path of {name} fails"
        return _meanwhile(text, seen)

    def _find_out_again(self) -> None:
        """Gives a balancer that read its configuration anew the time that it may take to see who is dead.

        Nobody sends anything meanwhile. Where it cannot be asked, what the target says of changes has to do.
        """
        system = self._scenario.system
        for name in sorted(set(self._down) & set(system.names)):
            self._scenario.until(
                partial(self._unknown_or_noticed, name), system.loaded.target.timing.down_noticed.value
            )

    def _unknown_or_noticed(self, name: str) -> bool:
        return self._scenario.system.target.noticed(name, up=False) in (None, True)

    # Users.

    def _visit(self, number: int, step: Step) -> str:
        strangers = "".join(f"(somebody: {name}) " for name in self._strangers(step.strangers))
        user = self._users[number]
        shown = ""
        if step.show == "first" and user.first_cookies:
            shown = " with the first cookie"
            cookie: str | None = user.first_cookies
        elif step.show == "nothing":
            shown, cookie = " without a cookie", ""
        else:
            cookie = None
        exchange = user.client.visit(new_connection=step.connection == "new", cookie=cookie)
        return f"{strangers}{user.client.name}{shown}: {user.answered(exchange)}"

    def _strangers(self, count: int) -> list[str]:
        found = []
        for _ in range(count):
            stranger = self._scenario.client(cookies=False, keep=False)
            found.append(stranger.visit().backend or "nobody")
            stranger.close()
        return found

    def _meanwhile(self, step: Step, seen: list[str]) -> Callable[[], None] | None:
        if not step.users:
            return None

        def go_on() -> None:
            if len(seen) < DURING:
                user = self._users[step.users[len(seen) % len(step.users)]]
                seen.append(f"{user.client.name}: {user.answered(user.client.visit(new_connection=True))}")

        return go_on

    # Backends.

    def _others_open(self, name: str) -> None:
        """Sees that somebody is left: a pool without any open member has a behaviour of its own."""
        if not set(self._scenario.system.names) - {name} - set(self._down) - set(self._drained):
            raise _Senseless(f"nobody but {name} takes new sessions")

    def _named(self, step: Step) -> str:
        """Whom a step means now.

        Raises:
            _Senseless: nobody, or somebody who is no member any more.
        """
        names = self._scenario.system.names
        found = REFERENCE.fullmatch(step.backend)
        if found is None:
            raise HarnessFault(f'a step names a backend as "{step.backend}"')
        name = ""
        if found[1]:
            name = self._of_user(found[1], int(found[2]))
        elif found[3]:
            name = names[int(found[3]) - 1] if int(found[3]) <= len(names) else ""
        else:
            group = {"down": self._down[:1], "drained": self._drained[:1], "newest": self._added[-1:]}[step.backend]
            name = group[0] if group else ""
        if name not in names:
            raise _Senseless(f'"{step.backend}" means no member now')
        return name

    def _of_user(self, how: str, number: int) -> str:
        user = self._users.get(number)
        homes = user.homes if user is not None else []
        if how == "beside":
            last = homes[-1] if homes else ""
            closed = {last, *self._down, *self._drained}
            return next((each for each in self._scenario.system.names if each not in closed), "")
        place = 1 if how == "of" else 2
        return homes[-place] if len(homes) >= place else ""


def _meanwhile(text: str, seen: Sequence[str]) -> str:
    return f"{text}; until that is noticed, {'; '.join(seen)}" if seen else text
