"""A table of bounded size: who was used longest ago may be forgotten, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Received, Record, Sent
from limpet.harness.model.oracle import Oracle
from limpet.harness.model.violation import Kind


def contract(full: str = "longest-unused") -> Contract:
    return Contract.model_validate(
        {"title": "small", "layer": 7, "affinity": "source-ip", "table": {"size": 3, "full": full}}
    )


def history(*visits: tuple[int, str]) -> Iterator[Record]:
    """Who came (the last octet of its address), and who answered."""
    for number, (who, backend) in enumerate(visits):
        yield Sent(id=str(number), t=number, client=str(who), connection=str(number), source=f"127.0.0.{who}")
        yield Received(id=str(number), t=number + 0.1, status=200, backend=backend)


def kinds(visits: list[tuple[int, str]], full: str = "longest-unused") -> list[Kind]:
    return [each.kind for each in Oracle(contract(full), ["b1", "b2"]).judge(history(*visits)).violations]


def test_while_there_is_room_a_pin_holds() -> None:
    assert kinds([(1, "b1"), (2, "b1"), (3, "b1"), (1, "b2")]) == [Kind.MOVED]


def test_who_was_used_longest_ago_may_be_forgotten() -> None:
    assert kinds([(1, "b1"), (2, "b1"), (3, "b1"), (4, "b1"), (1, "b2")]) == []


def test_who_was_used_meanwhile_may_not() -> None:
    visits = [(1, "b1"), (2, "b1"), (3, "b1"), (1, "b1"), (4, "b1"), (5, "b1")]
    assert kinds([*visits, (1, "b2")]) == [Kind.MOVED]
    assert kinds([*visits, (6, "b1"), (1, "b2")]) == []


def test_where_nobody_says_who_goes_a_full_table_may_drop_anybody() -> None:
    visits = [(1, "b1"), (2, "b1"), (3, "b1"), (1, "b1"), (4, "b1"), (1, "b2")]
    assert kinds(visits, "any") == []
    assert kinds(visits) == [Kind.MOVED]


@pytest.mark.parametrize("size", [0, -1])
def test_a_table_has_room_for_somebody(size: int) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Contract.model_validate({"title": "x", "layer": 7, "affinity": "source-ip", "table": {"size": size}})


@pytest.mark.parametrize(("reload", "expected"), [("keep", [Kind.MOVED]), ("lose", []), (None, [])])
def test_a_change_elsewhere_unbinds_only_what_a_reload_may(reload: str | None, expected: list[Kind]) -> None:
    from limpet.harness.model.history import Control

    promise = Contract.model_validate(
        {"title": "x", "layer": 7, "affinity": "source-ip", "reaction": {"reload": reload}}
    )
    records = [*history((1, "b1")), Control(verb="change", t=0.5, done=0.6), *list(history((1, "b1"), (1, "b2")))[2:]]
    assert [each.kind for each in Oracle(promise, ["b1", "b2"]).judge(records).violations] == expected
