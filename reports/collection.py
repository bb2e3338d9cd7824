"""The reports of a run, together: what is written by default, and a fan-out that loses none to another's failure."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.events import Event, Handler, RunFinished
from limpet.reports.allure import AllureReport
from limpet.reports.conformance import ConformanceReport
from limpet.reports.html import HtmlReport
from limpet.reports.junit import JUnitReport
from limpet.reports.markdown import MarkdownReport
from limpet.reports.run import Writer
from limpet.reports.terminal import TerminalReport


def standard_handlers(
    out: Path, *, junit: Path | None = None, console: Console | None = None, verbosity: int = 1
) -> list[Handler]:
    """The reports of ``limpet run``: those that write first, so that the terminal, the last, can name their files.

    Args:
        out: the run's output folder.
        junit: where the JUnit XML goes; None for none.
        console: where the table goes; None for standard output.
        verbosity: see `TerminalReport`.
    """
    writers: list[Writer] = [
        ConformanceReport(out / "conformance.json"),
        MarkdownReport(out / "summary.md"),
        HtmlReport(out / "report.html"),
        AllureReport(out / "allure-results", out),
    ]
    if junit is not None:
        writers.append(JUnitReport(junit))

    def written() -> list[Path]:
        return [each.written for each in writers if each.written is not None]

    return [*writers, TerminalReport(console, written=written, verbosity=verbosity)]


class HandlerFailure(msgspec.Struct, frozen=True):
    """A report that failed: its class, what went wrong, and the traceback for limpet's own developers."""

    handler: str
    what: str
    trace: str


class Fanout:
    """Gives every event to every handler. One that fails gets no more events; the others go on."""

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self._handlers = list(handlers)
        self.failures: list[HandlerFailure] = []

    def handle(self, event: Event) -> None:
        """Pass an event on.

        Raises:
            HarnessFault: after the last event, when any report failed; all the others are complete by then.
        """
        for handler in list(self._handlers):
            try:
                handler.handle(event)
            except Exception as err:  # noqa: BLE001  # a report is anyone's code, and no report may cost another
                self._handlers.remove(handler)
                self._note(handler, err)
                # A terminal that broke down in mid-run must not leave its progress line behind.
                self._close(handler)
        if isinstance(event, RunFinished) and self.failures:
            raise HarnessFault(
                "a report could not be written: " + "; ".join(f"{each.handler}: {each.what}" for each in self.failures),
                where="reports",
                do="the other reports are complete; if it is no full disk or missing permission, limpet has a bug",
            )

    def _close(self, handler: Handler) -> None:
        close = getattr(handler, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception as err:  # noqa: BLE001  # see above
            self._note(handler, err)

    def _note(self, handler: Handler, err: Exception) -> None:
        what = f"{type(err).__name__}: {err}" if str(err) else type(err).__name__
        self.failures.append(HandlerFailure(type(handler).__name__, what, "".join(traceback.format_exception(err))))

    def close(self) -> None:
        """End what moves on the screen, when a run ends without its last event."""
        for handler in self._handlers:
            self._close(handler)
