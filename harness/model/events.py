"""What the engine tells while it runs. Reports are handlers of these events; the engine knows none of them."""

from __future__ import annotations

from typing import Protocol

import msgspec

from limpet.harness.model.verdict import Judgement, Result


class TargetInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target as reports name it. ``contract`` is its merged contract as JSON text.

    ``product`` and ``version`` are what really runs. ``plays`` is the product whose profile it is judged by, "" where
    that is the same one; ``emulation`` says that it was set up to play it. Either way nothing is said about the latter.
    ``network`` is where its traffic came from.
    ``documented`` is the version whose documentation the promises were read in, where that is not about ``version``.
    """

    name: str
    title: str
    product: str
    profile: str
    version: str = ""
    emulation: bool = False
    contract: str = ""
    plays: str = ""
    network: str = ""
    documented: str = ""

    @property
    def told(self) -> str:
        """The version that runs, and that of the documentation where it is another one."""
        return f"{self.version} (judged by the documentation of {self.documented})" if self.documented else self.version


class RunStarted(msgspec.Struct, frozen=True):
    """The plan is made; ``planned`` scenarios will run, each ends in one `ScenarioFinished`."""

    run: str
    seed: int
    version: str
    started: str
    targets: tuple[TargetInfo, ...]
    planned: int
    command: str


class ScenarioStarted(msgspec.Struct, frozen=True):
    """Traffic of one scenario begins."""

    target: str
    name: str


class ScenarioProgress(msgspec.Struct, frozen=True):
    """A long scenario goes on: what its result would be if it ended now, which it is when the run is interrupted."""

    result: Result
    text: str


class ScenarioFinished(msgspec.Struct, frozen=True):
    """One scenario has its verdict."""

    result: Result


class RunFinished(msgspec.Struct, frozen=True):
    """All verdicts are there. ``wall`` and ``waited`` are seconds: what it took, and the sum of all waits in it."""

    results: tuple[Result, ...]
    judgement: Judgement
    wall: float
    waited: float
    interrupted: bool = False


Event = RunStarted | ScenarioStarted | ScenarioProgress | ScenarioFinished | RunFinished


class Handler(Protocol):
    """A report: it gets every event, in order, in one thread."""

    def handle(self, event: Event) -> None:
        """Take note of one event; at `RunFinished` write what is to be written."""
        ...
