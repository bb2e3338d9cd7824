"""Keys of two cookies, one of which comes in shards."""

from __future__ import annotations

import pytest

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Control, Received, Record, Sent
from limpet.harness.model.oracle import Oracle
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


def _after(issued: str, *what: Control) -> list[str]:
    """The violations of a user whose old cookies lead to two backends after this."""
    said = {"unhealthy": "repin", "bad_cookie": {"allowed": ["ignore", "replace"], "status": "inferred", "note": "n"}}
    contract = Contract.model_validate(
        {
            "title": "t", "layer": 7, "affinity": "app-cookie", "application": {"name": "SHOP"}, "reaction": said,
            "cookie": {"name": "PIN", "companion": {"issued": issued, "both_needed": True}},
        }
    )  # fmt: skip
    both = (("Cookie", "SHOP=s; PIN=p"),)
    given = (("Set-Cookie", "SHOP=s"), ("Set-Cookie", "PIN=p"))
    records: list[Record] = [
        Sent("r1", 1.0, "x", "c1", "127.128.0.1"),
        Received("r1", 1.1, 200, "a", headers=given),
        *what,
        Sent("r2", 3.0, "x", "c2", "127.128.0.1", headers=both),
        Received("r2", 3.1, 200, "b"),
        Sent("r3", 4.0, "x", "c3", "127.128.0.1", headers=both),
        Received("r3", 4.1, 200, "c"),
    ]
    return [str(each.kind) for each in Oracle(contract, ("a", "b", "c")).judge(records).violations]


def test_who_is_forgotten_stays_so_where_the_cookie_comes_with_the_applications_alone() -> None:
    restart = Control("restart", 2.0, 2.5)
    assert _after("with-application", restart) == []
    assert _after("every-response", restart) == ["moved"], "this balancer would have given out another cookie"


@pytest.mark.parametrize("issued", ["with-application", "every-response"])
def test_who_has_lost_his_backend_is_bound_anew_where_that_is_promised(issued: str) -> None:
    # Nothing is said of backends that join, so the balancer may place everybody anew: it would know them still.
    assert len(_after(issued, Control("kill", 2.0, 2.5, backend="a"))) == 1
