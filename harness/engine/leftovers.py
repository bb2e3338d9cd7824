"""What a run does to what it did not start, on disk: whatever ends the run, the next one can undo it.

Each process has a page for each target with anything of that kind (the balancer, or the backends behind one of
limpet's), from before the first thing is done until all is healed. What limpet started itself needs none: it ends with
the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from limpet.harness.containers.labels import fate, owner_in, this_process
from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.render import Member


class Left(msgspec.Struct):
    """What is to be undone: who is down, and which members the balancer is to have; with the command by hand."""

    owner: str
    target: str
    directory: str
    down: list[str] = []
    members: list[str] = []
    changed: bool = False
    by_hand: str = ""


def folder() -> Path:
    """Where pages are kept: what outlives a process, and a restart of the machine."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(home) / "limpet" / "leftovers"


class Page:
    """The page of one deployment; nothing is written for what limpet starts itself.

    Args:
        loaded: the target.
    """

    def __init__(self, loaded: LoadedTarget) -> None:
        self._wanted = loaded.target.of_yours
        self._started = loaded.target.launch is not None
        mine = this_process()
        mark = hashlib.sha256(str(loaded.directory).encode()).hexdigest()[:12]
        self._file = folder() / f"{mine.pid}-{mine.started}-{mark}.json"
        self._left = Left(str(mine), loaded.target.name, str(loaded.directory))
        steps = loaded.target.backends.revive or loaded.target.control.apply
        self._left.by_hand = "; ".join(" ".join(step.exec) for step in steps if step.exec)

    def down(self, names: Sequence[str]) -> None:
        """These backends will be down.

        Raises:
            SetupFault: it cannot be written down, so it must not be done.
        """
        self._left.down = sorted({*self._left.down, *names})
        self._write()

    def up(self, names: Sequence[str]) -> None:
        """These are not any more."""
        self._left.down = [name for name in self._left.down if name not in names]
        self._write()

    def changed(self, members: Sequence[Member]) -> None:
        """The pool, or a setting, will be another one; these are the members it had at first.

        A balancer that limpet started takes its settings with it when it ends.
        """
        if self._started:
            return
        self._left.members, self._left.changed = [member.name for member in members], True
        self._write()

    def healed(self) -> None:
        """Nothing is left to be undone."""
        self._left.down, self._left.changed = [], False
        self._write()

    def _write(self) -> None:
        if not self._wanted:
            return
        try:
            if not self._left.down and not self._left.changed:
                self._file.unlink(missing_ok=True)
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(self._left))
            fresh.replace(self._file)
        except OSError as err:
            raise SetupFault(
                f"cannot be written: {err.strerror}; limpet does nothing to a balancer of yours that it could not undo",
                where=str(self._file),
                do="Make the folder writable, or choose another one with XDG_STATE_HOME.",
            ) from None


def of_the_dead() -> list[tuple[Path, Left]]:
    """The pages of processes that have ended without healing."""
    here = this_process()
    found: list[tuple[Path, Left]] = []
    with contextlib.suppress(OSError):
        for file in sorted(folder().glob("*.json")):
            try:
                left = msgspec.json.decode(file.read_bytes(), type=Left)
            except (OSError, msgspec.DecodeError):
                continue
            owner = owner_in(left.owner)
            if owner is not None and fate(owner, here) == "dead":
                found.append((file, left))
    return found


def heal_leftovers(of: Collection[LoadedTarget] | None = None) -> Iterator[str]:
    """Undoes what dead runs have left undone; yields what it did, in words.

    A target that is gone, or was changed so that it no longer loads, keeps its page.

    Args:
        of: only what was left of these targets; None for all.

    Raises:
        SetupFault: something could not be undone, with the command that does it by hand; the rest is.
    """
    from limpet.harness.engine.lab import Lab
    from limpet.harness.model.errors import LimpetFault
    from limpet.harness.targets.load import load

    problems: list[str] = []
    wanted = None if of is None else {str(each.directory) for each in of}
    for file, left in of_the_dead():
        if wanted is not None and left.directory not in wanted:
            continue
        try:
            loaded = load(left.directory)
            with Lab(0, [loaded]) as lab:
                deployment = lab.deployment(loaded)
                try:
                    deployment.start()  # brings the members back, where it can
                    deployment.undo(left.down)
                finally:
                    deployment.stop()
        except LimpetFault as err:
            hand = f"; by hand: {left.by_hand}" if left.by_hand else ""
            problems.append(f"{left.target}: {', '.join(left.down) or 'its members'}: {err.reason}{hand}")
            continue
        file.unlink(missing_ok=True)
        yield f"{left.target}: {', '.join(left.down) or 'the pool'} healed, which a run that was killed had left"
    if problems:
        raise SetupFault("; ".join(problems), where="leftovers", do="Heal it by hand, then remove the page: "
                         f"{folder()}")  # fmt: skip
