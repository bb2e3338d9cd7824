"""Containers of the user's that a target names as backends: taken down and brought back, and nothing else.

What is down is noted on disk before it is done (`debts`): should limpet be killed meanwhile, the next run that uses
containers, or `limpet clean`, brings it back.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

from limpet.harness.containers import debts
from limpet.harness.containers.engine import Engine, State, missing
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.waiting import NotYet, wait_until

Verb = Literal["kill", "hang", "revive"]
VERBS: tuple[Verb, ...] = ("kill", "hang", "revive")
PATIENCE = 60.0
_LOOK = 0.05
_ENDED = ("exited", "dead", "created")


def why_not(container: str) -> str:
    """Why this container can be neither found nor steered, with what to do; "" where it can. Asked once."""
    return missing() or _absent(container)


@lru_cache(maxsize=256)
def _absent(container: str) -> str:
    try:
        engine().find(container)
    except SetupFault as fault:
        return fault.reason
    return ""


class Existing:
    """The user's containers in one engine. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Bring back what a run that was killed has left down.

        Raises:
            SetupFault: the engine refuses.
        """
        self._engine = engine
        debts.settle(engine)

    def find(self, container: str) -> State:
        """It, by its name or id.

        Raises:
            SetupFault: there is none.
        """
        state = self._engine.state(container)
        if state is None:
            raise SetupFault(
                "there is no container of this name",
                where=container,
                do="see which there are with: docker ps -a --format '{{.Names}}'",
            )
        return state

    def address(self, container: str, port: int = 0) -> tuple[str, int]:
        """Where it serves: its only address, at this port or at the only one that it exposes.

        Raises:
            SetupFault: it is not there, does not run, or has several of them.
        """
        state = self.find(container)
        found = {name: address for name, address in state.addresses.items() if address}
        do = "Give the member's host and port in [[backends.member]]."
        if len(found) != 1:
            seen = ", ".join(f"{address} on {name}" for name, address in found.items())
            what = f"has several addresses: {seen}" if found else f"has no address: it is {state.status}"
            raise SetupFault(f"this container {what}", where=container, do=do)
        if not port and len(state.ports) != 1:
            seen = ", ".join(map(str, state.ports)) or "none"
            raise SetupFault(f"nobody says at which port it serves; it exposes {seen}", where=container, do=do)
        return next(iter(found.values())), port or state.ports[0]

    def do(self, verb: Verb, container: str) -> None:
        """Take it down or bring it back; returns when the engine says that it is so.

        ``kill`` is SIGKILL, which the engine takes for the user's wish: no restart policy brings it back. ``hang``
        freezes it: its kernel accepts connections, nobody answers. ``revive`` undoes either, whichever it was.

        Raises:
            SetupFault: it is not there, the engine refuses, or it ended again while it was brought back.
        """
        state = self.find(container)
        if verb == "revive":
            self._revive(container, state)
            debts.forget(state.id)
            return
        debts.note(state.id, container)
        if verb == "hang":
            if state.status != "paused":
                self._engine.pause(container)
            self._await(container, "paused")
            return
        if state.status == "paused":
            self._engine.unpause(container)
        if state.status not in _ENDED:
            self._engine.kill(container)
        ended = self._await(container, *_ENDED)
        debts.note(ended.id, container, ended.finished)

    def _revive(self, container: str, state: State) -> None:
        if state.status == "paused":
            self._engine.unpause(container)
        elif state.status in _ENDED:
            self._engine.start(container)
        self._await(container, "running", well=True)

    def _await(self, container: str, *statuses: str, well: bool = False) -> State:
        """Waits until it is so; ``well``: and its health check, where it has one, says that it is well."""

        def there() -> State:
            state = self.find(container)
            if well and state.status in _ENDED:
                said = self._engine.logs(container)
                raise SetupFault(f"it ended again, with exit code {state.exit_code}", where=container, do=said)
            if state.status not in statuses:
                raise NotYet(state.status)
            if well and state.health not in ("", "healthy"):
                raise NotYet(state.health)
            return state

        what = f"container {container} to be {' or '.join(statuses)}"
        return wait_until(there, timeout=PATIENCE, what=what, interval=_LOOK)


def engine() -> Existing:
    """Those of the engine that the environment names; connected once in each process.

    Raises:
        SetupFault: there is no engine.
    """
    # A worker is a fork: with its parent's connection the two would take each other's answers.
    return _engine(os.getpid())


@lru_cache(maxsize=1)
def _engine(_process: int) -> Existing:
    return Existing(Engine())
