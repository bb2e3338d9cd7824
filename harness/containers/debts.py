"""What limpet owes, on disk: containers of the user's that are still down by its doing, and fleets still to be removed.

Each process has a page of its own. The page of a dead one is what there is to do after it; where there is none, nobody
need ask an engine.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from limpet.harness.containers.engine import Engine
from limpet.harness.containers.labels import fate, owner_in, this_process
from limpet.harness.model.errors import SetupFault

_lock = threading.Lock()


class Debt(msgspec.Struct, frozen=True):
    """One container: its name for people, and when its last end was, "" where it was not ended but paused."""

    name: str
    finished: str = ""


class _Page(msgspec.Struct):
    owner: str
    debts: dict[str, Debt] = {}
    fleets: list[str] = []


def folder() -> Path:
    """Where each process keeps its page: what outlives it, and a restart of the machine."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(home) / "limpet" / "containers"


def note(container: str, name: str, finished: str = "") -> None:
    """Owe this container: before it is taken down, and again when it is known when it ended.

    Raises:
        SetupFault: that cannot be written down, so it must not be done.
    """
    with _changed() as page:
        page.debts[container] = Debt(name, finished)


def forget(container: str) -> None:
    """It is back."""
    with _changed() as page:
        page.debts.pop(container, None)


def begin_fleet(run: str) -> None:
    """A run's containers and network will be there from now on.

    Raises:
        SetupFault: that cannot be written down.
    """
    with _changed() as page:
        page.fleets.append(run)


def end_fleet(run: str) -> None:
    """They are removed."""
    with _changed() as page:
        page.fleets = [each for each in page.fleets if each != run]


def of_the_dead() -> bool:
    """Whether a dead process has left a page."""
    return bool(_dead_pages())


def settle(engine: Engine) -> list[str]:
    """Bring back what dead runs owe; returns the names.

    A container that somebody has used since (it runs, is gone, or ended at another time) is nobody's debt any more.

    Raises:
        SetupFault: one could not be brought back; its debt stays.
    """
    back: list[str] = []
    for file, page in _dead_pages():
        back += [debt.name for container, debt in page.debts.items() if _brought_back(engine, container, debt)]
        file.unlink(missing_ok=True)
    return back


def _dead_pages() -> list[tuple[Path, _Page]]:
    here = this_process()
    found: list[tuple[Path, _Page]] = []
    for file in sorted(folder().glob("*.json")):
        try:
            page = msgspec.json.decode(file.read_bytes(), type=_Page)
        except (OSError, msgspec.DecodeError):
            continue
        owner = owner_in(page.owner)
        if owner is not None and fate(owner, here) == "dead":
            found.append((file, page))
    return found


def _brought_back(engine: Engine, container: str, debt: Debt) -> bool:
    state = engine.state(container)
    if state is None:
        return False
    if state.status == "paused":
        engine.unpause(container)
        return True
    if state.status in ("exited", "dead") and state.finished == debt.finished:
        engine.start(container)
        return True
    return False


@contextlib.contextmanager
def _changed() -> Iterator[_Page]:
    mine = this_process()
    file = folder() / f"{mine.pid}-{mine.started}.json"
    with _lock:
        try:
            page = msgspec.json.decode(file.read_bytes(), type=_Page)
        except (OSError, msgspec.DecodeError):
            page = _Page(str(mine))
        yield page
        try:
            if not page.debts and not page.fleets:
                file.unlink(missing_ok=True)
                return
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(page))
            fresh.replace(file)
        except OSError as err:
            raise SetupFault(
                f"cannot be written: {err.strerror}; limpet does nothing in an engine that it could not undo later",
                where=str(file),
                do="Make the folder writable, or choose another one with XDG_STATE_HOME.",
            ) from None
