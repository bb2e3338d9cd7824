"""The balancer finds its cookie however the browser's Cookie header is written."""

from __future__ import annotations

from collections.abc import Callable

from limpet import Client, Inconclusive, Kind, NotCheckable, Observed, Scenario, behaviour
from limpet.harness.model.cookies import parse_cookie_headers
from limpet.harness.model.oracle.exchanges import ODD, cookie_names

OTHERS = ("theme=dark", "_ga=GA1.2.1234", "cart=3%2C5", "lang=en-GB", "seen=1", "token=a=b==", 'note="x y"', "empty=")
REPEATS = 4

TOO_LARGE = (400, 413, 414, 431, 494, 502)
"""How a balancer, or its backend by its mouth, says that it takes no such long headers. None has to take any length."""

Pair = tuple[str, str]
Writer = Callable[[Scenario, list[Pair], list[Pair]], list[str]]


def _joined(pairs: list[Pair]) -> list[str]:
    return [f"{name}={value}" for name, value in pairs]


def _among_many(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    parts = [*OTHERS, *(f"pad{number}=y" for number in range(20)), *_joined(own)]
    s.rng.shuffle(parts)
    return ["; ".join(parts)]


def _first(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    return ["; ".join([*_joined(own), *OTHERS])]


def _last(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    return ["; ".join([*OTHERS, *_joined(own)])]


def _among_long(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    """Behind two cookies of 3 KiB each, smaller than what browsers keep."""
    parts = [f"{name}={s.rng.randbytes(1536).hex()}" for name in ("basket", "consent")]
    return ["; ".join([*parts, *_joined(own)])]


def _longer_names(s: Scenario, own: list[Pair], other: list[Pair]) -> list[str]:
    """Names that begin or end with its name, with another user's values, before it and after it."""
    alike = [
        f"{before}{name}{after}={value}"
        for name, value in other
        for before, after in (("X", ""), ("", "2"), ("", "-old"))
    ]
    return [_around(s, own, alike)]


def _shorter_names(s: Scenario, own: list[Pair], other: list[Pair]) -> list[str]:
    """Names that are a part of its name."""
    return [_around(s, own, [f"{part}={value}" for name, value in other for part in (name[:-1], name[1:]) if part])]


def _other_case(s: Scenario, own: list[Pair], other: list[Pair]) -> list[str]:
    """Its name in other letters: cookie names are compared as they are."""
    alike = [
        f"{form}={value}" for name, value in other for form in {name.lower(), name.upper(), name.swapcase()} - {name}
    ]
    return [_around(s, own, alike)]


def _around(s: Scenario, own: list[Pair], alike: list[str]) -> str:
    taken = {name for name, _ in own}
    alike = [each for each in alike if each.partition("=")[0] not in taken]
    s.rng.shuffle(alike)
    half = s.rng.choice((0, len(alike) // 2, len(alike)))
    return "; ".join([*alike[:half], *_joined(own), *alike[half:]])


def _in_a_value(s: Scenario, own: list[Pair], other: list[Pair]) -> list[str]:
    """Its name inside the value of another cookie."""
    alike = [f"back=/shop?{name}={value}" for name, value in other]
    return [_around(s, own, alike)]


def _quoted(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    """A value that came in quotes has them already (RFC 6265 section 4.1.1), and cannot be quoted twice."""
    written = [(name, value if value.startswith('"') else f'"{value}"') for name, value in own]
    return ["; ".join([OTHERS[0], *_joined(written), OTHERS[1]])]


def _spaced(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    return ["  ;   ".join([OTHERS[0], *(f"{name} = {value}" for name, value in own), OTHERS[1]])]


def _unspaced(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    return [";".join([OTHERS[0], *_joined(own), OTHERS[1], ""])]


def _several_headers(s: Scenario, own: list[Pair], _: list[Pair]) -> list[str]:
    lines = ["; ".join(OTHERS[:2]), *_joined(own), "; ".join(OTHERS[2:])]
    s.rng.shuffle(lines)
    return lines


WRITERS: dict[str, Writer] = {
    "among-many": _among_many,
    "among-long": _among_long,
    "first": _first,
    "last": _last,
    "longer-names": _longer_names,
    "shorter-names": _shorter_names,
    "other-case": _other_case,
    "in-a-value": _in_a_value,
    "quoted": _quoted,
    "spaced": _spaced,
    "unspaced": _unspaced,
    "several-headers": _several_headers,
}
UNUSUAL = {"quoted", "spaced", "unspaced", "several-headers"}
"""No browser writes these (RFC 6265 section 5.4): whether they are understood is up to what the product documents."""


@behaviour(
    "cookie.parser",
    only_cited=True,
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    variants=tuple(WRITERS),
    certainty="a cookie that is overlooked every time is missed with a chance of 1 in 3 to the power of 12",
    error_rate=0.0,
    budget=120,
    sees=0.32,
)
def test_parser(s: Scenario) -> None:
    """The cookie is found among others, in any order, however it is written, and look-alikes are not taken for it."""
    if not _promised(s):
        raise NotCheckable("no browser writes it so, and no document says that the balancer understands it")
    found = sent = 0
    for home in s.names:
        # Pinned just before, so that short pins are not over by the time that it is their turn.
        user, stranger = s.pinned(home), s.pinned(s.rng.choice([name for name in s.names if name != home]))
        with user.raw() as connection:
            for _ in range(REPEATS):
                lines = WRITERS[s.variant](s, _own(s, user), _own(s, stranger))
                # Whether it is found is judged here; the oracle reads headers as browsers write them.
                exchange = user.over(connection, cookies=lines, note=ODD)
                if s.variant == "among-long" and not exchange.backend and exchange.status in TOO_LARGE:
                    raise Observed(f"a request with a Cookie header of 6 KiB is refused with {exchange.status}")
                found, sent = found + (exchange.backend == home), sent + 1
                answer = exchange.backend or exchange.error or f"status {exchange.status}"
                text = f"{user.name}, pinned to {home}, was answered by {answer}; the cookie was in: {_short(lines)}"
                s.expect(exchange.backend == home, Kind.COOKIE_IGNORED, text, exchange)
    s.observe(f"{found} of {sent} requests with the cookie written so ({s.variant}) met its user's backend")


def _own(s: Scenario, user: Client) -> list[Pair]:
    """The cookies that its pin goes by, as it would send them now."""
    pairs = parse_cookie_headers(s.keyed(user).cookie_header())
    found = [(name, value) for name, value in pairs if value and value == user.key]
    if cookie_names(s.contract) is None:
        raise NotCheckable("nothing says which cookie the balancer goes by")
    if not found:
        raise Inconclusive(f"{user.name} was not given the cookie")
    return found


def _promised(s: Scenario) -> bool:
    """What no browser sends is only promised where a document says so."""
    loaded = s.system.loaded
    named = loaded.catalogue.requirements(loaded.profile_name, f"cookie.parser[{s.variant}]")
    return s.variant not in UNUSUAL or bool(named)


def _short(lines: list[str]) -> str:
    text = " | ".join(lines)
    return text if len(text) <= 160 else f"{text[:157]}…"
