"""Who is to blame. Every fault limpet raises on purpose is one of these; the type is the answer."""

from __future__ import annotations


class LimpetFault(Exception):
    """Base of limpet's own faults.

    Args:
        what: one sentence, what went wrong.
        where: the file, key, address or step concerned ("" when there is none).
        do: what the reader can do about it ("" when nothing is known).
    """

    exit_code = 4

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        """The message for people: where, what, what to do."""
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  {self.do}" if self.do else ""
        return f"{place}{self.what}{advice}"


class UsageFault(LimpetFault):
    """The command line, a target directory or a catalogue file is wrong (exit 2)."""

    exit_code = 2


class SetupFault(LimpetFault):
    """The target or the lab could not be set up: the balancer was never judged (exit 3)."""

    exit_code = 3


class TargetFault(LimpetFault):
    """The balancer under test did something that no contract can allow (exit 1)."""

    exit_code = 1


class HarnessFault(LimpetFault):
    """limpet itself failed; nothing is said about the balancer (exit 4)."""

    exit_code = 4
