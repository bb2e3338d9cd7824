from __future__ import annotations

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.harness.model.cookies import (
    Ignored,
    SetCookie,
    format_cookie_header,
    format_date,
    parse_cookie_date,
    parse_cookie_headers,
    parse_fixdate,
    parse_set_cookie,
)

SIGNS = [
    "=",
    ";",
    " ",
    "\t",
    ",",
    '"',
    "/",
    ".",
    "-",
    "\x00",
    "\x7f",
    "é",
    "中",
    "\ud800",
    "\u212a",
    "9" * 40,
    "x" * 1025,
]
WORDS = ["a", "Path", "Domain", "Expires", "Max-Age", "SameSite", "none", "Secure", "Wed, 21 Oct 2015 07:28:00 GMT"]
MORSELS = st.sampled_from([*SIGNS, *WORDS])
LINES = st.one_of(st.text(), st.lists(MORSELS, max_size=30).map("".join))


def parsed(line: str) -> SetCookie:
    cookie = parse_set_cookie(line)
    assert isinstance(cookie, SetCookie), cookie
    return cookie


def test_all_attributes_of_a_cookie() -> None:
    line = (
        "AWSALB=x=y/z+ ; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=604800; path=/app; DOMAIN=.Example.org;"
        "Secure; HttpOnly; SameSite=NONE; Partitioned; Priority=High"
    )
    cookie = parsed(line)
    assert (cookie.name, cookie.value, cookie.raw) == ("AWSALB", "x=y/z+", line)
    assert cookie.expires == 1445412480.0
    assert cookie.expires_raw == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert (cookie.max_age, cookie.max_age_raw) == (604800, "604800")
    assert (cookie.path, cookie.domain) == ("/app", ".Example.org")
    assert (cookie.secure, cookie.http_only, cookie.partitioned, cookie.persistent) == (True, True, True, True)
    assert (cookie.same_site_raw, cookie.same_site) == ("NONE", "none")
    assert [(found.name, found.value) for found in cookie.unknown] == [("Priority", "High")]


def test_absent_differs_from_empty() -> None:
    bare = parsed("a=b")
    assert (bare.path, bare.domain, bare.expires_raw, bare.max_age_raw, bare.same_site_raw) == (None,) * 5
    assert not bare.persistent
    empty = parsed("a=b; Path=; Domain; Expires=; Max-Age=; SameSite")
    assert (empty.path, empty.domain, empty.expires_raw, empty.max_age_raw, empty.same_site_raw) == ("",) * 5
    assert (empty.expires, empty.max_age, empty.same_site) == (None, None, "default")
    assert [found.value for found in empty.attributes] == ["", None, "", "", None]


def test_the_last_usable_attribute_counts() -> None:
    cookie = parsed("a=b; Max-Age=5; max-age=x; Path=/a; Path=/b; SameSite=Strict; SameSite=odd")
    assert (cookie.max_age, cookie.max_age_raw, cookie.path) == (5, "5", "/b")
    assert cookie.same_site == "default"
    assert cookie.count("MAX-AGE") == 2
    assert [found.ignored for found in cookie.attributes[:2]] == ["", "not a number of seconds"]


@pytest.mark.parametrize("value", ["", "-", "+1", "1.5", "1e3", "0x1", "٣", "1 0"])
def test_max_age_must_be_digits(value: str) -> None:
    cookie = parsed(f"a=b; Max-Age={value}")
    assert cookie.max_age is None
    assert cookie.max_age_raw == value


def test_a_huge_max_age_is_kept() -> None:
    assert parsed("a=b; Max-Age=" + "9" * 1000).max_age == 10**1000 - 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=b\x00c", "control character 0x00 at offset 3"),
        ("a=b; Path=/\x7f", "control character 0x7f"),
        ("a=b\nc", "control character 0x0a"),
        ("", "neither"),
        (" = ; Path=/", "neither"),
        ("n=" + "v" * 4096, "4097 octets"),
    ],
)
def test_lines_a_user_agent_ignores(line: str, reason: str) -> None:
    ignored = parse_set_cookie(line)
    assert isinstance(ignored, Ignored)
    assert reason in ignored.reason


def test_sizes_are_octets_of_name_and_value() -> None:
    assert isinstance(parse_set_cookie("n=" + "v" * 4095 + "; Path=/" + "p" * 900), SetCookie)
    assert isinstance(parse_set_cookie("n=" + "é" * 4095), SetCookie)
    assert isinstance(parse_set_cookie("n=" + "中" * 1366), Ignored)
    long = parsed("n=v; Path=/a; Path=/" + "p" * 1024)
    assert long.path == "/a"
    assert "1024 octets" in long.attributes[1].ignored


def test_a_tab_is_white_space_and_a_kelvin_sign_no_letter() -> None:
    assert parsed("\tn\t=\tv\t;\tPath\t=\t/x").path == "/x"
    assert parsed("n=v; \u212aey=1; Max\u2010Age=1").max_age is None


@given(LINES)
def test_parsing_never_raises(line: str) -> None:
    result = parse_set_cookie(line)
    assert result.raw == line
    if isinstance(result, SetCookie):
        assert result.name or result.value
        assert ";" not in result.name + result.value
        assert "=" not in result.name
        assert (result.expires is None) or result.expires_raw is not None
    parse_cookie_headers(line)
    parse_cookie_date(line)
    parse_fixdate(line)


TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';="'), min_size=1)


@given(st.lists(st.tuples(TOKENS, TOKENS | st.just("")), max_size=8))
def test_cookie_header_round_trip(pairs: list[tuple[str, str]]) -> None:
    header = format_cookie_header(pairs)
    assert parse_cookie_headers(header) == pairs
    assert parse_cookie_headers([header, header]) == pairs + pairs


def test_cookie_header_as_servers_see_it() -> None:
    assert parse_cookie_headers('a=1;b="x y" ;; c ; =d;a=2=3') == [
        ("a", "1"),
        ("b", '"x y"'),
        ("", "c"),
        ("", "d"),
        ("a", "2=3"),
    ]
    assert parse_cookie_headers([]) == []
    assert format_cookie_header([("", "nameless"), ("n", "")]) == "nameless; n="


@given(st.integers(-11_644_473_600, 253_402_300_799))
def test_dates_round_trip(unix: int) -> None:
    text = format_date(unix)
    assert parse_cookie_date(text) == parse_fixdate(text) == unix


@given(st.integers(0, 2**31))
def test_dates_agree_with_the_standard_library(unix: int) -> None:
    assert parse_cookie_date(time.strftime("%A, %d-%b-%Y %H:%M:%S GMT", time.gmtime(unix))) == unix
    assert calendar.timegm(time.strptime(format_date(unix), "%a, %d %b %Y %H:%M:%S GMT")) == unix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        ("6 nOVEMBER 1994 8:49:37xyz", 784111777.0),
        ("1 Jan 69 0:0:0", parse_fixdate("Tue, 01 Jan 2069 00:00:00 GMT")),
        ("1 Jan 70 0:0:0", 0.0),
        ("29 Feb 2023 00:00:00", None),
        ("1 Jan 1600 00:00:00", None),
        ("1 Jan 2000 24:00:00", None),
        ("1 Jan 2000 00:00:60", None),
        ("1 Jan 2000", None),
        ("1 Jan 2000 00:00", None),
        ("32 Jan 2000 00:00:00", None),
        ("0 Jan 2000 00:00:00", None),
        ("٣ Jan 2000 00:00:00", None),
    ],
)
def test_lenient_dates(text: str, expected: float | None) -> None:
    assert parse_cookie_date(text) == expected


@pytest.mark.parametrize(
    "text", ["Sun, 06-Nov-94 08:49:37 GMT", "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "0"]
)
def test_servers_owe_the_one_form(text: str) -> None:
    assert parse_fixdate(text) is None


def test_a_date_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="year"):
        format_date(1e15)
