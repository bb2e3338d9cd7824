"""Keys of two cookies, one of which comes in shards."""

from __future__ import annotations

import pytest

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Received, Sent
from limpet.harness.model.oracle.exchanges import Exchange, application_names, cookie_names, exchanges, issued_by

CONTRACT = Contract.model_validate(
    {
        "title": "t",
        "layer": 7,
        "affinity": "app-cookie",
        "application": {"name": "SHOP"},
        "cookie": {
            "pattern": "PIN-[0-3]",
            "shards": {"prefix": "PIN-", "size": 4096, "count": 4},
            "companion": {"both_needed": True},
        },
    }
)


def exchange(cookie: str, *sets: str) -> Exchange:
    sent = Sent("r1", 1.0, "x", "c1", "127.128.0.1", headers=(("Cookie", cookie),))
    headers = tuple(("Set-Cookie", line) for line in sets)
    received = Received("r1", 2.0, 200, "a", headers=headers)
    return exchanges([sent, received], CONTRACT)[0]


def test_the_key_is_the_balancers_cookie_where_it_goes_by_two() -> None:
    names, own = cookie_names(CONTRACT), application_names(CONTRACT)
    assert names is not None and own is not None
    assert names.fullmatch("PIN-2") and not names.fullmatch("SHOP") and own.fullmatch("SHOP")
    alone = CONTRACT.model_copy(update={"cookie": None})
    assert cookie_names(alone) == own


def test_shards_are_one_key_in_any_order_of_the_header() -> None:
    one, other = exchange("SHOP=s; PIN-0=ab; PIN-1=cd"), exchange("PIN-1=cd; SHOP=s; PIN-0=ab")
    assert one.keys == other.keys and len(one.keys) == 1 and one.certain
    assert exchange("SHOP=s; PIN-0=cd; PIN-1=ab").keys != one.keys, "misplaced ones are another value"
    assert exchange("SHOP=s; PIN-0=ab").keys != one.keys, "and so is a part"


@pytest.mark.parametrize(("cookie", "keys", "certain"), [("PIN-0=ab", 1, False), ("SHOP=s", 0, True)])
def test_one_of_the_two_alone_decides_nothing(cookie: str, keys: int, certain: bool) -> None:
    found = exchange(cookie)
    assert (len(found.keys), found.certain) == (keys, certain)


def test_what_is_handed_out_is_the_whole_without_shards_that_are_ended() -> None:
    ended = "PIN-1=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    assert exchange("SHOP=s", "SHOP=s", "PIN-0=ab", ended).issued == exchange("SHOP=s; PIN-0=ab").keys
    assert exchange("SHOP=s", "PIN-1=cd", "PIN-0=ab").issued == exchange("SHOP=s; PIN-0=ab; PIN-1=cd").keys
    only = exchange("SHOP=s; PIN-0=ab", "PIN-0=; Max-Age=0")
    assert only.issued == () and only.dropped
    received = only.received
    assert received is not None and issued_by(received, CONTRACT) == ()
