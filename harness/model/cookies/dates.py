"""Dates in cookies: the lenient algorithm of user agents (RFC 6265bis section 5.1.1), the strict form of servers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

# Characters that split a cookie-date into tokens; anything else, also beyond ASCII, belongs to a token.
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FIXDATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


@lru_cache(maxsize=1024)  # a balancer that ends its cookies says the same second to all users of that second
def parse_cookie_date(text: str) -> float | None:
    """The time a user agent reads out of an ``Expires`` value, in unix seconds; None when it must ignore the value.

    Each token is tried, in this order, as time, day, month and year; the first fit of each kind counts. Time zones
    are not looked at: everything is UTC.
    """
    time: tuple[int, int, int] | None = None
    day: int | None = None
    month: int | None = None
    year: int | None = None
    for token in _DELIMITERS.split(text):
        if time is None and (found := _TIME.match(token)):
            time = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := _DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.match(token)):
            year = int(found[1])
    if time is None or day is None or month is None or year is None:
        return None
    if 70 <= year <= 99:
        year += 1900
    elif year <= 69:
        year += 2000
    if year < 1601:
        return None
    return _unix((year, month, day), time)


def parse_fixdate(text: str) -> float | None:
    """Unix seconds of a date in the one form servers may send (IMF-fixdate, RFC 9110 section 5.6.7), else None.

    A day of the week that does not belong to the date is no valid date.
    """
    found = _FIXDATE.fullmatch(text)
    if found is None:
        return None
    day, year, hour, minute, second = (int(found[i]) for i in (1, 3, 4, 5, 6))
    unix = _unix((year, _MONTHS.index(found[2].lower()) + 1, day), (hour, minute, second))
    return unix if unix is not None and format_date(unix) == text else None


def format_date(unix: float) -> str:
    """An IMF-fixdate, ``Sun, 06 Nov 1994 08:49:37 GMT``; fractions of a second are cut off.

    Raises:
        ValueError: the time is outside the years 1 to 9999.
    """
    try:
        at = datetime.fromtimestamp(unix // 1, UTC)
    except (OverflowError, OSError) as err:
        raise ValueError(f"{unix} is no date between the years 1 and 9999") from err
    month = _MONTHS[at.month - 1].capitalize()
    return f"{_WEEKDAYS[at.weekday()]}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def _unix(date: tuple[int, int, int], time: tuple[int, int, int]) -> float | None:
    try:
        return datetime(*date, *time, tzinfo=UTC).timestamp()
    except ValueError:
        return None
