"""JUnit XML, as CI systems read it: one suite for each target.

Broken is a failure. Inconclusive, setup failed and harness error are errors: nothing was decided about the balancer.
Not promised, not checkable and known deviation are skipped. Held and observed pass, but for a known deviation that no
longer happens, which is a failure.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.evidence import curl_text, deviation_note, violations_text
from limpet.reports.run import AtTheEnd, Run, Section
from limpet.reports.text import one_line, plain, write_atomically

_TAG = {
    Verdict.HELD: "",
    Verdict.OBSERVED: "",
    Verdict.BROKEN: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.SETUP_FAILED: "error",
    Verdict.HARNESS_ERROR: "error",
    Verdict.NOT_PROMISED: "skipped",
    Verdict.NOT_CHECKABLE: "skipped",
    Verdict.KNOWN_DEVIATION: "skipped",
}


class JUnitReport(AtTheEnd):
    """Writes one JUnit XML file at the end of a run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, run: Run) -> Path:
        """Write the file in one piece."""
        root = ET.Element("testsuites", {"name": "limpet", **_counts(run.results), "time": f"{run.wall:.3f}"})
        for section in run.sections:
            _suite(root, run, section)
        ET.indent(root, " ")
        write_atomically(self._path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
        return self._path


def _tag(result: Result) -> str:
    return "failure" if result.stale else _TAG[result.verdict]


def _counts(results: tuple[Result, ...]) -> dict[str, str]:
    tags = [_tag(each) for each in results]
    return {
        "tests": str(len(tags)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
    }


def _suite(root: ET.Element, run: Run, section: Section) -> None:
    results = section.results
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": one_line(section.info.title or section.info.name),
            **_counts(results),
            "time": f"{sum(each.wall for each in results):.3f}",
            "timestamp": one_line(run.started.started),
        },
    )
    _properties(
        suite,
        [
            ("target", section.info.name),
            ("product", section.info.product),
            ("version", section.info.version),
            ("profile", section.info.profile),
            ("emulation", "yes" if section.info.emulation else "no"),
            ("plays", section.info.plays),
            ("limpet", run.started.version),
            ("run", run.started.run),
            ("seed", str(run.started.seed)),
            ("command", run.started.command),
            ("summary", section.summary),
        ],
    )
    for result in results:
        _case(suite, result)


def _properties(parent: ET.Element, pairs: list[tuple[str, str]]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in pairs:
        ET.SubElement(properties, "property", {"name": name, "value": one_line(value)})


def _case(suite: ET.Element, result: Result) -> None:
    theme = result.behaviour.partition(".")[0]
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": one_line(f"{result.target}.{theme}"),
            "name": one_line(result.name),
            "time": f"{result.wall:.3f}",
        },
    )
    _properties(
        case,
        [("verdict", str(result.verdict)), *(("requirement", requirement.id) for requirement in result.requirements)],
    )
    if tag := _tag(result):
        attributes = {"message": one_line(f"[{result.verdict}] {result.reason}")}
        if tag != "skipped":
            kinds = " ".join(dict.fromkeys(str(each.kind) for each in result.violations))
            attributes["type"] = kinds or str(result.verdict)
        outcome = ET.SubElement(case, tag, attributes)
        outcome.text = _body(result) or None
    if result.observations:
        ET.SubElement(case, "system-out").text = "\n".join(plain(each) for each in result.observations)


def _body(result: Result) -> str:
    parts = [deviation_note(result), violations_text(result), plain(result.detail)]
    if curl := curl_text(result):
        parts.append(f"Without limpet:\n{curl}")
    return "\n\n".join(part for part in parts if part)
