"""The IETF http-state vectors, where they are present, with a reason for each that RFC 6265bis answers differently."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TypedDict
from urllib.parse import urljoin

import pytest

from limpet.harness.model.cookies import (
    Jar,
    format_cookie_header,
    parse_cookie_date,
    parse_cookie_headers,
    parse_fixdate,
)

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data"
SET_URL = "http://home.example.org:8888/cookie-parser?"
SENT_URL = "http://home.example.org:8888/cookie-parser-result?"
# Between the dates the vectors hold to be past (2007) and those they hold to be ahead (2019, 2027).
NOW = 1_301_616_000.0  # 2011-04-01


class Pair(TypedDict):
    name: str
    value: str


Case = TypedDict("Case", {"test": str, "received": list[str], "sent": list[Pair], "sent-to": str}, total=False)


class Override(TypedDict):
    header: str
    reason: str


class DateCase(TypedDict):
    test: str
    expected: str | None


def _read(name: str) -> str:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the http-state vectors are not part of limpet and not at {path}")
    text = path.read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("//"))


def _cases() -> list[Case]:
    cases: list[Case] = json.loads(_read("http-state-parser.json"))
    return cases


def _overrides() -> dict[str, Override]:
    overrides: dict[str, Override] = tomllib.loads((HERE / "cookie_overrides.toml").read_text("utf-8"))["case"]
    return overrides


def _answer(case: Case) -> str:
    jar = Jar(lambda: NOW)
    jar.store(SET_URL + case["test"].lower(), case["received"])
    return jar.header(urljoin(SENT_URL, case.get("sent-to", SENT_URL)))


def _vector(case: Case) -> str:
    return format_cookie_header((pair["name"], pair["value"]) for pair in case["sent"])


def test_cookie_vectors() -> None:
    overrides = _overrides()
    wrong: list[str] = []
    cases = _cases()
    assert len(cases) > 200
    for case in cases:
        expected = overrides[case["test"]]["header"] if case["test"] in overrides else _vector(case)
        got = _answer(case)
        if got != expected:
            wrong.append(f"{case['test']}: {case['received']!r}: sent {got!r:.200}, expected {expected!r:.200}")
    assert not wrong, "\n".join(wrong)


def test_cookie_overrides_are_not_stale() -> None:
    cases = {case["test"]: case for case in _cases()}
    for name, override in _overrides().items():
        assert len(override["reason"]) > 20, name
        assert name in cases, f"{name} is no vector any more"
        assert override["header"] != _vector(cases[name]), f"{name} says what the vector says: drop the override"


@pytest.mark.parametrize("file", ["http-state-dates.json", "http-state-dates-bsd.json"])
def test_cookie_date_vectors(file: str) -> None:
    cases: list[DateCase] = json.loads(_read(file))
    assert cases
    wrong: list[str] = []
    for case in cases:
        expected = None if case["expected"] is None else parse_fixdate(case["expected"])
        assert (expected is None) == (case["expected"] is None), case
        got = parse_cookie_date(case["test"])
        if got != expected:
            wrong.append(f"{case['test']!r}: {got} instead of {case['expected']!r}")
    assert not wrong, "\n".join(wrong)


def test_cookie_header_round_trip_of_vectors() -> None:
    for case in _cases():
        pairs = [(pair["name"], pair["value"]) for pair in case["sent"]]
        assert parse_cookie_headers(format_cookie_header(pairs)) == pairs, case["test"]
