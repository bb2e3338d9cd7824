"""Who is to blame. Every fault limpet raises on purpose is one of these; the type is the answer."""

from __future__ import annotations

from collections.abc import Sequence


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

    @property
    def reason(self) -> str:
        """The same as sentences on one line, for a table; of a program's output only the last line (see `detail`)."""
        place = f"{self.where}: " if self.where else ""
        said = place + _on_one_line(self.what)
        if not self.do.strip():
            return said
        heading, *below = [line.strip() for line in self.do.splitlines() if line.strip()]
        if below:
            cut = "" if len(below) == 1 else "… "
            advice = f"{heading} {cut}{below[-1]}" if heading.endswith(":") else f"… {below[-1]}"
        else:
            advice = heading
        return f"{said.rstrip(' .;')}{'; ' if advice[0].islower() else '. '}{advice}"

    @property
    def detail(self) -> str:
        """Advice that needs lines of its own, such as a program's last output; "" for any other."""
        return self.do if "\n" in self.do.strip() else ""


class UsageFault(LimpetFault):
    """The command line, a target directory or a catalogue file is wrong (exit 2)."""

    exit_code = 2


class SetupFault(LimpetFault):
    """The target or the lab could not be set up: the balancer was never judged (exit 3)."""

    exit_code = 3


class EndedFault(SetupFault):
    """The balancer ended by itself while it was being started: nobody had lost patience with it."""


class TargetFault(LimpetFault):
    """The balancer under test did something that no contract can allow (exit 1)."""

    exit_code = 1


class HarnessFault(LimpetFault):
    """limpet itself failed; nothing is said about the balancer (exit 4)."""

    exit_code = 4


def together(faults: Sequence[UsageFault]) -> UsageFault:
    """One fault that tells all of them: whoever corrects the first would only then meet the second.

    Raises:
        ValueError: there are none.
    """
    if not faults:
        raise ValueError("no fault, no message")
    different = list({str(each): each for each in faults}.values())
    return different[0] if len(different) == 1 else UsageFault("\n".join(map(str, different)))


def _on_one_line(text: str) -> str:
    """A list of problems beneath a heading becomes ``heading: one; two``."""
    head, *below = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return f"{head.rstrip(':')}: {'; '.join(below)}" if below else head
