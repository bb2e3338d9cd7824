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
MEANING = {
    Verdict.HELD: "promised, checked, and so",
    Verdict.BROKEN: "promised, and not so",
    Verdict.KNOWN_DEVIATION: "promised and not so, which is known and accepted with a reason",
    Verdict.OBSERVED: "not firmly promised: what was seen is told and fails nobody",
    Verdict.INCONCLUSIVE: "too little was seen to decide",
    Verdict.NOT_PROMISED: "the documentation does not say it",
    Verdict.NOT_CHECKABLE: "promised, but this target lacks what the check needs",
    Verdict.SETUP_FAILED: "the balancer did not start: nothing is said about it",
    Verdict.HARNESS_ERROR: "limpet itself failed: nothing is said about the balancer",
}
"""What each verdict says, for legends."""
EMULATION = "Emulation of {plays} by {runs}: says nothing about {plays} itself."
JUDGED_BY = "{runs}, judged by the contract of {plays}: says nothing about {plays} itself."
