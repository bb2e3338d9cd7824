"""Allure: a results folder of limpet's own, and the same words for plain pytest under allure-pytest."""

# mypy: disable-error-code="no-untyped-call"
# (allure-python-commons carries no annotations)
from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import allure
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestStepResult,
)

from limpet.harness.model.events import RunStarted, TargetInfo
from limpet.harness.model.verdict import Result
from limpet.reports.allure_mapping import AllureCase, allure_case, categories, environment
from limpet.reports.pictures.files import MIME, pictures
from limpet.reports.run import AtTheEnd, Run
from limpet.reports.text import one_line, write_atomically

_OURS = ("*-result.json", "*-container.json", "*-attachment.*", "categories.json", "environment.properties")
_JSONL = ("application/x-ndjson", "jsonl")
_PCAP = ("application/vnd.tcpdump.pcap", "pcap")


class AllureReport(AtTheEnd):
    """Writes Allure results at the end of a run.

    Args:
        directory: the results folder; results of an earlier run in it are removed, other files stay.
        out: the run's output folder, to which the histories' paths are relative.
        clock: seconds since the epoch.
    """

    def __init__(self, directory: Path, out: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._directory = directory
        self._out = out
        self._clock = clock
        self._ended: dict[str, float] = {}

    def note(self, result: Result) -> None:
        """Remember when a result came in."""
        self._ended[result.key] = self._clock()

    def write(self, run: Run) -> Path:
        """Write the folder."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for pattern in _OURS:
            for path in self._directory.glob(pattern):
                path.unlink()
        logger = AllureFileLogger(str(self._directory))
        for section in run.sections:
            for result in section.results:
                self._write_result(logger, run.started, section.info, result)
        write_companions(self._directory, run.started)
        return self._directory

    def _write_result(self, logger: AllureFileLogger, started: RunStarted, info: TargetInfo, result: Result) -> None:
        case = allure_case(result, info, started.seed)
        stop = self._ended.get(result.key, self._clock())
        begin = stop - result.wall
        item = TestResult(
            uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"limpet:{one_line(started.run)}/{case.full_name}")),
            historyId=case.history_id,
            testCaseId=case.history_id,
            fullName=case.full_name,
            name=case.title,
            status=case.status,
            stage="finished",
            statusDetails=StatusDetails(message=case.message, trace=case.trace, known=case.known or None),
            description=case.description,
            labels=[Label(name=kind, value=value) for kind, value in _all_labels(case)],
            links=[Link(type="link", url=address, name=name) for address, name in case.links],
            parameters=[
                Parameter(name=each.name, value=each.value, excluded=None if each.identifies else True)
                for each in case.parameters
            ],
            steps=_steps(case, begin, stop),
            start=_milliseconds(begin),
            stop=_milliseconds(stop),
        )
        for attachment in case.attachments:
            name = (
                f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{item.uuid}/{attachment.name}')}-attachment.{attachment.extension}"
            )
            logger.report_attached_data(body=attachment.body, file_name=name)
            item.attachments.append(Attachment(name=attachment.name, source=name, type=attachment.mime))
        if history := history_file(result, self._out):
            mime, extension = _JSONL
            name = f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{item.uuid}/history')}-attachment.{extension}"
            _share(history, self._directory / name)
            item.attachments.append(Attachment(name="history", source=name, type=mime))
        if packets := packets_file(result, self._out):
            mime, extension = _PCAP
            name = f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{item.uuid}/packets')}-attachment.{extension}"
            _share(packets, self._directory / name)
            item.attachments.append(Attachment(name="packets", source=name, type=mime))
        for picture in pictures(result, self._out):
            name = f"{uuid.uuid5(uuid.NAMESPACE_URL, f'{item.uuid}/{picture.name}')}-attachment.svg"
            _share(self._out / picture.path, self._directory / name)
            item.attachments.append(Attachment(name=picture.name, source=name, type=MIME))
        logger.report_result(item)


def _share(history: Path, place: Path) -> None:
    """One file under two names where the disk can: histories are most of what a run writes."""
    try:
        place.hardlink_to(history)
    except OSError:
        shutil.copyfile(history, place)


def _all_labels(case: AllureCase) -> list[tuple[str, str]]:
    return [*case.labels, ("severity", case.severity), ("framework", "limpet"), ("language", "python")]


def _steps(case: AllureCase, begin: float, stop: float) -> list[TestStepResult]:
    """Each step lasts until the next one; a clock that was set back must not make one end before it began."""
    if not case.steps:
        return []
    starts = [min(begin + each.t, stop) for each in case.steps]
    ends = [*starts[1:], stop]
    return [
        TestStepResult(name=step.name, status="passed", start=_milliseconds(start), stop=_milliseconds(max(start, end)))
        for step, start, end in zip(case.steps, starts, ends, strict=True)
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def history_file(result: Result, out: Path) -> Path | None:
    """The result's history if it is a file inside of ``out``; a report must not carry files from elsewhere."""
    return _file_within(result.history, out)


def packets_file(result: Result, out: Path) -> Path | None:
    """The file with its packets, likewise."""
    return _file_within(result.packets, out)


def _file_within(name: str, out: Path) -> Path | None:
    if not name:
        return None
    path = (out / name).resolve()
    return path if path.is_relative_to(out.resolve()) and path.is_file() else None


def write_companions(directory: Path, started: RunStarted) -> None:
    """Write ``categories.json`` and ``environment.properties``, also beside what allure-pytest wrote."""
    pairs = [("limpet", started.version), ("run", started.run), ("seed", str(started.seed))]
    pairs.append(("command", started.command))
    for info in started.targets:
        how = "emulation of" if info.emulation else "judged by the contract of"
        kind = f", {how} {info.plays}" if info.plays else ""
        network = f", network {info.network}" if info.network else ""
        what = f"{info.product} {info.version}".strip()
        pairs.append((f"target {info.name}", f"{what}, {info.profile}{kind}{network}"))
    write_atomically(directory / "categories.json", categories())
    write_atomically(directory / "environment.properties", environment(pairs))


def annotate(
    result: Result, *, target: TargetInfo | None = None, out: Path | None = None, seed: int | None = None
) -> AllureCase:
    """Tell allure-pytest about the running test; without ``--alluredir`` this does nothing.

    Call it inside of a running item, in the main thread: allure-pytest keeps its state by thread. Status and message
    are allure-pytest's own, from how the item ends: raise with the returned case's ``message`` as the text, by
    ``pytest.fail`` for *failed*, ``pytest.skip`` for *skipped*, any other exception for *broken*.
    """
    case = allure_case(result, target, seed)
    allure.dynamic.title(case.title)
    allure.dynamic.description(case.description)
    allure.dynamic.severity(case.severity)
    for kind, value in case.labels:
        allure.dynamic.label(kind, value)
    for address, name in case.links:
        allure.dynamic.link(address, name=name)
    for parameter in case.parameters:
        allure.dynamic.parameter(parameter.name, parameter.value, excluded=not parameter.identifies)
    for step in case.steps:
        with allure.step(step.name):
            pass
    for attachment in case.attachments:
        allure.attach(
            attachment.body, name=attachment.name, attachment_type=attachment.mime, extension=attachment.extension
        )
    if out is not None and (history := history_file(result, out)):
        mime, extension = _JSONL
        allure.attach.file(str(history), name="history", attachment_type=mime, extension=extension)
    if out is not None and (packets := packets_file(result, out)):
        mime, extension = _PCAP
        allure.attach.file(str(packets), name="packets", attachment_type=mime, extension=extension)
    if out is not None:
        for picture in pictures(result, out):
            allure.attach.file(str(out / picture.path), name=picture.name, attachment_type=MIME, extension="svg")
    return case
