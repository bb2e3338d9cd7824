"""How a verdict looks, in one place for all reports: mark, colour and class."""

from __future__ import annotations

import msgspec

from limpet.harness.model.verdict import Verdict


class Look(msgspec.Struct, frozen=True):
    """``mark`` for Unicode, ``ascii`` where that is not available, ``style`` for terminals, ``css`` for pages."""

    mark: str
    ascii: str
    style: str
    css: str


LOOKS = {
    Verdict.HELD: Look("✔", "+", "green", "held"),
    Verdict.BROKEN: Look("✘", "X", "bold red", "broken"),
    Verdict.KNOWN_DEVIATION: Look("≈", "~", "yellow", "known"),
    Verdict.OBSERVED: Look("◉", "o", "cyan", "observed"),
    Verdict.INCONCLUSIVE: Look("?", "?", "yellow", "undecided"),
    Verdict.NOT_PROMISED: Look("·", "-", "dim", "not-promised"),
    Verdict.NOT_CHECKABLE: Look("∅", "0", "magenta", "not-checkable"),
    Verdict.SETUP_FAILED: Look("!", "!", "bold yellow", "setup"),
    Verdict.HARNESS_ERROR: Look("‼", "E", "bold magenta", "harness"),
}
EMULATION = "Emulation of {plays} by {runs}: says nothing about {plays} itself."
JUDGED_BY = "{runs}, judged by the contract of {plays}: says nothing about {plays} itself."
