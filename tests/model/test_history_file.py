"""A history is readable after a crash, and what is damaged otherwise is no history."""

from __future__ import annotations

import msgspec
import pytest

from limpet.harness.model.history import Control, Received, Record, Sent, encode, read

RECORDS: list[Record] = [
    Sent("r1", 1.0, "ann", "c1", "127.128.0.1"),
    Received("r1", 1.1, 200, "a"),
    Control("kill", 2.0, 2.5, backend="a"),
]
LINES = [encode(each) for each in RECORDS]


def test_what_was_written_is_read() -> None:
    assert list(read(LINES)) == RECORDS


def test_a_torn_last_line_is_left_out() -> None:
    assert list(read([*LINES[:2], LINES[2][:-7]])) == RECORDS[:2]


def test_empty_lines_are_no_records() -> None:
    assert list(read([LINES[0], b"\n", *LINES[1:]])) == RECORDS


@pytest.mark.parametrize("damaged", [LINES[1][:-7], b"no history at all\n"])
def test_damage_before_the_end_is_said(damaged: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        list(read([LINES[0], damaged, LINES[2]]))
