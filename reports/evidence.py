"""The evidence of one result in words, shared by all reports that show text."""

from __future__ import annotations

import math
import re

from limpet.harness.model.events import TargetInfo
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.model.violation import Violation
from limpet.reports.looks import EMULATION, JUDGED_BY
from limpet.reports.text import one_line, plain

# Printable ASCII without what could end an attribute, a Markdown link or a line.
_LINK = re.compile(r"https://[^\s<>\"'`\\|\x00-\x20\x7f-\U0010ffff]+")


def facts(violation: Violation) -> str:
    """Who, which request, when, what was expected and what was seen, on one line; "" when nothing is known."""
    parts = []
    if violation.client:
        parts.append(f"client {violation.client}")
    if violation.request:
        parts.append(f"request {violation.request}")
    if violation.t:
        parts.append(f"at {violation.t:.3f} s")
    if violation.expected:
        parts.append(f"expected {' or '.join(violation.expected)}")
    if violation.seen:
        parts.append(f"saw {violation.seen}")
    return one_line(", ".join(parts))


def violation_text(violation: Violation) -> str:
    """One violation over several lines: sentence, facts, trail."""
    lines = [f"{violation.kind}: {plain(violation.text)}"]
    if known := facts(violation):
        lines.append(f"  {known}")
    lines += [f"  | {one_line(event)}" for event in violation.trail]
    return "\n".join(lines)


def violations_text(result: Result) -> str:
    """All violations of a result."""
    return "\n\n".join(violation_text(each) for each in result.violations)


def curl_text(result: Result) -> str:
    """The reproductions of all violations without limpet, equal ones once; "" when there is none.

    Lines stay as they are inside of one reproduction: the same request sent again is often the very point.
    """
    return "\n\n".join(dict.fromkeys(plain("\n".join(each.curl)) for each in result.violations if each.curl))


def emulation_note(judged: Result | TargetInfo) -> str:
    """What a verdict under another product's contract does not say; "" for the product itself."""
    if not judged.plays:
        return ""
    version = judged.version if isinstance(judged, TargetInfo) else ""
    runs = one_line(f"{judged.product} {version}")
    return (EMULATION if judged.emulation else JUDGED_BY).format(plays=one_line(judged.plays), runs=runs)


def strength_note(result: Result) -> str:
    """What keeps a broken result from failing the run by itself; "" where a *must* stands behind it."""
    if result.verdict is Verdict.BROKEN and result.only_should:
        return "No must stands behind this: it fails only a strict run."
    return ""


def deviation_note(result: Result) -> str:
    """What is known of a row that breaks a promise as it always did, or does so no longer; "" where nothing is."""
    known = result.deviation
    if known is None or result.verdict not in (Verdict.KNOWN_DEVIATION, Verdict.HELD, Verdict.BROKEN):
        return ""
    parts = [] if result.verdict is Verdict.KNOWN_DEVIATION else [f"Known of it: {known.happens}"]
    parts += [f"Documented: {known.documented}"] if known.documented else []
    last = f" until {known.until}" if known.until else ""
    shown = f"; without limpet: {known.reproduction}" if known.reproduction else ""
    parts.append(f"Since {known.since}{last}; {known.link}{shown}")
    return one_line(" ".join(f"{each.rstrip('.')}." for each in parts))


def is_link(source: str) -> bool:
    """Whether a requirement's source is a page (only https is ever made a link) and not a path in some docs folder."""
    return _LINK.fullmatch(source) is not None


def cost(result: Result) -> str:
    """Requests, deciding requests, seconds waited and run, on one line."""
    seconds = f"{result.waited:.1f} s waited, {result.wall:.1f} s in all"
    most = f" of at most {result.budget}" if result.budget is not None else ""
    looked = f" and {result.elsewhere} to find users of each backend" if result.elsewhere else ""
    return f"{result.requests - result.elsewhere}{most} requests{looked}, {result.decided} decisive; {seconds}"


def certainty(result: Result) -> str:
    """How sure the verdict is, in sentences: its error rate, what would have shown, and what else the check says."""
    parts = []
    if result.error_rate is not None:
        luck = f"is at most {result.error_rate:g}" if result.error_rate else "is 0: no luck is involved"
        parts.append(f"The probability of a false accusation {luck}.")
    if result.smallest_visible is not None:
        parts.append(f"Faults in {share(result.smallest_visible)} of what was decided would have shown with 95 %.")
    elif result.sees is not None:
        parts.append(f"Made to see faults in {share(result.sees)} of the answers with 95 %.")
    if result.certainty:
        said = plain(result.certainty)
        parts.append(f"{said[0].upper()}{said[1:]}")
    return " ".join(parts)


def share(rate: float) -> str:
    """A share for people, never said smaller than it is: ``3.9 %``."""
    percent = rate * 100
    digits = 0 if percent >= 10 else 1 if percent >= 1 else 2
    return f"{math.ceil(percent * 10**digits - 1e-9) / 10**digits:g} %"


def requirement_line(requirement: RequirementRef) -> str:
    """``ALB-DUR-04 (must): text``; a status other than documented is said."""
    status = "" if requirement.status == "documented" else f", {requirement.status}"
    return one_line(f"{requirement.id} ({requirement.level}{status}): {requirement.text}")
