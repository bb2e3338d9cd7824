"""A kept connection may be closed at any moment: the request that meets this is no evidence, the next one is."""

from __future__ import annotations

import pytest

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Received, Record, Sent
from limpet.harness.model.oracle import Oracle
from limpet.harness.model.violation import Kind

CONTRACT = Contract.model_validate({"title": "any", "layer": 7, "affinity": "none"})


def history(detail: str, *, status: int = 0, error: str = "closed") -> list[Record]:
    return [
        Sent(id="a", t=1.0, client="Ann", connection="c1", source="127.0.0.1"),
        Received(id="a", t=1.1, status=200, backend="b1"),
        Sent(id="b", t=2.0, client="Ann", connection="c1", source="127.0.0.1"),
        Received(id="b", t=2.1, status=status, error=error, detail=detail),
    ]


def kinds(records: list[Record]) -> list[Kind]:
    return [each.kind for each in Oracle(CONTRACT, ["b1", "b2"]).judge(records).violations]


@pytest.mark.parametrize("error", ["closed", "reset"])
def test_a_close_without_an_answer_on_a_kept_connection_is_no_violation(error: str) -> None:
    assert kinds(history("connection closed; request 2 of a kept connection", error=error)) == []


def test_the_same_on_a_new_connection_is_one() -> None:
    assert kinds(history("connection closed before a response head")) == [Kind.ERROR]


def test_an_answer_that_breaks_off_is_one() -> None:
    assert kinds(history("connection closed; request 2 of a kept connection", status=200)) == [Kind.ERROR]


def test_silence_on_a_kept_connection_is_one() -> None:
    assert kinds(history("timed out; request 2 of a kept connection", error="timeout")) == [Kind.ERROR]
