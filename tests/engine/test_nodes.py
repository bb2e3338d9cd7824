"""When users may change from one node to the other: as soon as both say that they agree, or when their time is over."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from limpet.harness.engine.nodes import nodes_agree

SOON = 30.0
"""Seconds, far more than any of these takes."""


class Scene:
    """A scenario and a second node, as far as this needs them; the nodes agree after ``news`` of the one each."""

    def __init__(self, lag: float, *, asked: bool, news: int = 1) -> None:
        self.visits: list[str] = []
        self.waits: list[float] = []
        self.met: list[str] = []
        timing = SimpleNamespace(nodes_agree=SimpleNamespace(value=lag))
        target = SimpleNamespace(timing=timing, control=SimpleNamespace(nodes_agree="a step" if asked else None))
        self._names = self._named()

        def agrees(who: str) -> bool:
            return self.visits.count(who) >= news

        running = {who: SimpleNamespace(agrees=lambda who=who: agrees(who)) for who in ("first", "second")}
        self.scenario: Any = SimpleNamespace(
            client=self._client,
            real_wait=self.waits.append,
            system=SimpleNamespace(target=running["first"]),
            _timeline=SimpleNamespace(wait=lambda _seconds: None),
        )
        self.node: Any = SimpleNamespace(
            loaded=SimpleNamespace(target=target), target=running["second"], visit=self._visit("second")
        )

    @staticmethod
    def _named() -> Iterator[str]:
        return (f"stranger {number}" for number in range(1000))

    def _client(self, *, cookies: bool) -> SimpleNamespace:
        assert not cookies
        name = next(self._names)
        return SimpleNamespace(name=name, visit=lambda: self._note("first", name))

    def _visit(self, who: str) -> Any:
        return lambda client: self._note(who, client.name)

    def _note(self, who: str, name: str) -> None:
        assert name not in self.met, "who comes to one node and then to the other would be judged"
        self.met.append(name)
        self.visits.append(who)


def test_where_nodes_agree_at_once_nothing_is_done() -> None:
    scene = Scene(0.0, asked=False)
    nodes_agree(scene.scenario, scene.node)
    assert not scene.visits and not scene.waits


def test_who_cannot_be_asked_is_given_the_whole_time() -> None:
    scene = Scene(3.0, asked=False)
    nodes_agree(scene.scenario, scene.node)
    assert scene.waits == [3.0] and not scene.visits


def test_each_node_is_told_something_new_and_then_asked() -> None:
    scene = Scene(SOON, asked=True)
    nodes_agree(scene.scenario, scene.node)
    assert scene.visits == ["first", "second"] and not scene.waits


def test_what_does_not_suffice_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limpet.harness.engine.nodes._NEWS", 0.0)
    scene = Scene(SOON, asked=True, news=3)
    nodes_agree(scene.scenario, scene.node)
    assert scene.visits == ["first", "second"] * 3


def test_nodes_that_never_agree_are_judged_when_their_time_is_over() -> None:
    scene = Scene(0.05, asked=True, news=99)
    nodes_agree(scene.scenario, scene.node)
    assert scene.visits == ["first", "second"]
