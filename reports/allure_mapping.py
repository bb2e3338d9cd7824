"""What one result is in Allure: pure, shared by limpet's own Allure report and by pytest under allure-pytest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import md5

import msgspec

from limpet.harness.model.events import TargetInfo
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.evidence import (
    certainty,
    cost,
    curl_text,
    deviation_note,
    emulation_note,
    is_link,
    requirement_line,
    strength_note,
    violations_text,
)
from limpet.reports.text import one_line, plain

STATUS = {
    Verdict.HELD: "passed",
    Verdict.OBSERVED: "passed",
    Verdict.BROKEN: "failed",
    Verdict.INCONCLUSIVE: "broken",
    Verdict.SETUP_FAILED: "broken",
    Verdict.HARNESS_ERROR: "broken",
    Verdict.NOT_PROMISED: "skipped",
    Verdict.NOT_CHECKABLE: "skipped",
    Verdict.KNOWN_DEVIATION: "skipped",
}
_STALE = "failed"
_STALE_WORD = "stale deviation"
_CATEGORY_NAME = {
    Verdict.BROKEN: "Broken promises",
    Verdict.INCONCLUSIVE: "Inconclusive: too little was seen to decide",
    Verdict.SETUP_FAILED: "Setup failed: the balancer was never judged",
    Verdict.HARNESS_ERROR: "Harness errors: limpet itself failed",
    Verdict.NOT_PROMISED: "Not promised by the contract",
    Verdict.NOT_CHECKABLE: "Not checkable with this target",
    Verdict.KNOWN_DEVIATION: "Known deviations, accepted with a reason",
}
_SEVERITY = {"must": "critical", "should": "normal", "observe": "trivial"}


class AllureStep(msgspec.Struct, frozen=True):
    """A step; ``t`` is seconds after the scenario's start."""

    t: float
    name: str


class AllureAttachment(msgspec.Struct, frozen=True):
    """Text to attach; ``mime`` and ``extension`` as Allure wants them."""

    name: str
    body: str
    mime: str = "text/plain"
    extension: str = "txt"


class AllureParameter(msgspec.Struct, frozen=True):
    """``identifies`` says whether another value makes it another test, with a history of its own."""

    name: str
    value: str
    identifies: bool = True


class AllureCase(msgspec.Struct, frozen=True):
    """One result in Allure's words. ``labels`` are pairs of type and value, ``links`` of address and name."""

    title: str
    full_name: str
    history_id: str
    status: str
    message: str
    trace: str
    known: bool
    severity: str
    description: str
    labels: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    parameters: tuple[AllureParameter, ...]
    steps: tuple[AllureStep, ...]
    attachments: tuple[AllureAttachment, ...]


def allure_case(result: Result, target: TargetInfo | None = None, seed: int | None = None) -> AllureCase:
    """Everything Allure is told about ``result``, but for the history file, which only a handler can find."""
    return AllureCase(
        title=one_line(result.name),
        full_name=one_line(result.key),
        history_id=md5(plain(result.key).encode(), usedforsecurity=False).hexdigest(),
        status=_STALE if result.stale else STATUS[result.verdict],
        message=message(result),
        trace=trace(result),
        known=result.verdict is Verdict.KNOWN_DEVIATION,
        severity=_severity(result),
        description=_description(result),
        labels=_labels(result, target),
        links=_links(result),
        parameters=_parameters(result, seed),
        steps=tuple(AllureStep(each.t, f"+{each.t:.2f} s: {one_line(each.text)}") for each in result.steps),
        attachments=_attachments(result),
    )


def message(result: Result) -> str:
    """``[broken] reason``: the categories know a verdict by this prefix."""
    return f"[{_STALE_WORD if result.stale else result.verdict}] {plain(result.reason)}"


def trace(result: Result) -> str:
    """Violations with their trails, what limpet knows of its own failure, and curl lines."""
    parts = [violations_text(result), plain(result.detail)]
    if curl := curl_text(result):
        parts.append(f"Without limpet:\n{curl}")
    return "\n\n".join(part for part in parts if part)


def _severity(result: Result) -> str:
    """That of the strongest requirement; what no requirement asks for is trivial."""
    levels = {each.level for each in result.requirements}
    return next((severity for level, severity in _SEVERITY.items() if level in levels), "trivial")


def _labels(result: Result, target: TargetInfo | None) -> tuple[tuple[str, str], ...]:
    title = target.title if target is not None and target.title else result.target
    theme = result.behaviour.partition(".")[0]
    pairs = [
        ("parentSuite", title),
        ("suite", theme),
        ("subSuite", result.behaviour),
        ("epic", result.product),
        ("feature", result.profile),
        ("story", result.behaviour),
        ("layer", "conformance"),
    ]
    pairs += [("tag", each.id) for each in result.requirements]
    pairs += [("tag", "emulation")] if result.emulation else []
    return tuple(dict.fromkeys((kind, one_line(value)) for kind, value in pairs))


def _links(result: Result) -> tuple[tuple[str, str], ...]:
    """One link for each page, named by all requirements that it proves: Allure shows an address once."""
    names: dict[str, list[str]] = {}
    for requirement in result.requirements:
        for source in requirement.sources:
            if is_link(source) and requirement.id not in names.setdefault(source, []):
                names[source].append(requirement.id)
    if result.deviation is not None and is_link(result.deviation.link):
        names.setdefault(result.deviation.link, []).append("known deviation")
    return tuple((address, one_line(", ".join(ids))) for address, ids in names.items())


def _description(result: Result) -> str:
    parts = [plain(result.doc), emulation_note(result), strength_note(result), deviation_note(result)]
    for requirement in result.requirements:
        paths = [one_line(each) for each in requirement.sources if not is_link(each)]
        seen = f" (see {', '.join(paths)})" if paths else ""
        parts.append(f"{requirement_line(requirement)}{seen}")
    parts += [f"Observed: {one_line(each)}" for each in result.observations]
    parts += [certainty(result), f"Cost: {cost(result)}."]
    return "\n\n".join(_literal(part) for part in parts if part)


def _literal(text: str) -> str:
    """Allure renders descriptions as Markdown with HTML in it; neither may come from a balancer."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|~!" else each for each in text).replace("&", "&amp;")


def _parameters(result: Result, seed: int | None) -> tuple[AllureParameter, ...]:
    parameters = [AllureParameter("target", one_line(result.target)), AllureParameter("profile", result.profile)]
    parameters.append(AllureParameter("behaviour", one_line(result.behaviour)))
    if result.variant:
        parameters.append(AllureParameter("variant", one_line(result.variant)))
    if seed is not None:
        parameters.append(AllureParameter("seed", str(seed), identifies=False))
    return tuple(parameters)


def _attachments(result: Result) -> tuple[AllureAttachment, ...]:
    texts = (
        ("violations", violations_text(result)),
        ("reproduction by curl", curl_text(result)),
        ("observations", "\n".join(plain(each) for each in result.observations)),
        ("detail", plain(result.detail)),
    )
    return tuple(AllureAttachment(name, body) for name, body in texts if body)


def categories() -> bytes:
    """``categories.json``: one for each verdict that is not passed.

    allure-pytest puts the exception's class before the message, so that may stand there too. No inline flags: the
    pattern must mean the same in Java (Allure 2) and JavaScript (Allure 3), and match the whole message.
    """
    found = [
        {
            "name": name,
            "messageRegex": rf"^(?:[\w.]+: )?\[{verdict}\][\s\S]*$",
            "matchedStatuses": [status],
        }
        for verdict, status, name in (
            *((str(verdict), STATUS[verdict], name) for verdict, name in _CATEGORY_NAME.items()),
            (_STALE_WORD, _STALE, "Known deviations that no longer happen"),
        )
    ]
    return json.dumps(found, indent=1).encode() + b"\n"


def environment(pairs: Iterable[tuple[str, str]]) -> bytes:
    """``environment.properties`` in Java's format: Latin-1 with escapes, one pair a line."""
    return "".join(f"{_property(name, key=True)}={_property(value)}\n" for name, value in pairs).encode("ascii")


def _property(text: str, *, key: bool = False) -> str:
    escaped = []
    for each in one_line(text):
        if each == "\\" or (key and each in " :=#!"):
            escaped.append(f"\\{each}")
        elif ord(each) > 0x7E:
            utf16 = each.encode("utf-16-be")
            escaped += [f"\\u{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2)]
        else:
            escaped.append(each)
    return "".join(escaped)
