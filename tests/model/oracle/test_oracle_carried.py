"""Keys in headers and URLs: how they are read, and that a right balancer is never accused by them."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limpet_oracle_balancer import Manner
from limpet_oracle_story import contract_of, random_manner, random_story
from limpet_oracle_tale import PROMISES, Tale, kinds, last

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.validation import parse
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.history import Header, Received, Record, Sent
from limpet.harness.model.oracle import Oracle
from limpet.harness.model.oracle.carried import carried
from limpet.harness.model.oracle.exchanges import issued_by, masked
from limpet.harness.model.violation import Kind

URL = {"path_parameter": "jsessionid", "query": "sid", "segments": "any", "escapes": "undone", "minted": True}


def promise(affinity: str, *, reaction: dict[str, Any] | None = None, **parts: Any) -> Contract:
    data = {"title": "t", "layer": 7, "affinity": affinity, "reaction": PROMISES | (reaction or {}), **parts}
    return Contract.model_validate(data)


def by_header(minted: Any = True, **reaction: Any) -> Contract:
    return promise("header", header={"name": "X-Session", "minted": minted}, reaction=reaction)


def by_url(**changes: Any) -> Contract:
    return promise("url", url=URL | {"cookie": "unread"} | changes, application={"name": "S"})


def sent(path: str = "/", *headers: Header) -> Sent:
    return Sent("r", 0.0, "x", "", "10.0.0.1", path=path, headers=headers)


def read(contract: Contract, path: str = "/", *headers: Header) -> tuple[tuple[str, ...], bool]:
    reader = carried(contract)
    assert reader is not None
    return reader.sent(sent(path, *headers))


def use(tale: Tale, t: float, backend: str, *, path: str = "/", key: str = "", mints: str = "", **more: Any) -> None:
    """One exchange; ``key`` in the header X-Session, ``mints`` in the response's."""
    tale.ask(t, None, backend, **more)
    asked, answered = tale.records[-2:]
    assert isinstance(asked, Sent) and isinstance(answered, Received)
    given = (("x-SESSION", key),) if key else ()
    handed = (("X-Session", mints),) if mints else ()
    tale.records[-2:] = [
        msgspec.structs.replace(asked, path=path, headers=(*asked.headers, *given)),
        msgspec.structs.replace(answered, headers=(*answered.headers, *handed)),
    ]


# Headers.


@pytest.mark.parametrize(
    ("headers", "keys", "certain"),
    [
        ([], (), True),
        ([("x-session", " a ")], ("a",), True),
        ([("X-SESSION", "")], (), True),
        ([("X-Session", "a"), ("X-Session", "a")], ("a",), False),
        ([("X-Session", "a"), ("x-session", "b")], ("a", "b"), False),
        ([("X-Sessions", "a")], (), True),
    ],
)
def test_a_header_is_read_by_its_name_in_any_case(headers: list[Header], keys: tuple[str, ...], certain: bool) -> None:
    assert read(by_header(), "/", *headers) == (keys, certain)


def test_a_minted_header_binds_to_whoever_handed_it_out(tale: Tale) -> None:
    use(tale, 0.0, "a", mints="k")
    use(tale, 1.0, "b", key="k")
    assert kinds(tale.judge(by_header())) == [Kind.MOVED]
    assert kinds(tale.judge(by_header(minted=False))) == [], "nobody hands keys out: its first use was at b"
    use(tale, 2.0, "a", key="k")
    assert kinds(tale.judge(by_header(minted=False))) == [Kind.MOVED]


def test_a_header_that_nobody_promises_to_mint_binds_nothing(tale: Tale) -> None:
    use(tale, 0.0, "a", mints="k")
    use(tale, 1.0, "b", key="k")
    use(tale, 2.0, "c", key="k")
    silent = promise("header", header={"name": "X-Session"}, reaction={"bad_cookie": None})
    assert kinds(tale.judge(silent)) == []


def test_an_invented_value_binds_where_first_uses_do(tale: Tale) -> None:
    use(tale, 0.0, "a", key="k")
    use(tale, 1.0, "b", key="k")
    assert kinds(tale.judge(by_header(bad_cookie="accept"))) == [Kind.MOVED]
    assert kinds(tale.judge(by_header(bad_cookie="ignore"))) == []
    assert kinds(tale.judge(by_header(bad_cookie="replace"))) == [], "the suites judge that, by an invented value"


def test_a_minted_key_survives_its_backend(tale: Tale) -> None:
    use(tale, 0.0, "a", mints="k")
    use(tale, 1.0, "a", key="k")
    tale.do(2.0, "kill", "a")
    use(tale, 4.0, "b", key="k")
    use(tale, 5.0, "c", key="k")
    assert kinds(tale.judge(by_header())) == [Kind.NOT_REPINNED]


def test_a_key_that_was_forgotten_may_stay_unknown_where_unknown_ones_are_ignored(tale: Tale) -> None:
    use(tale, 0.0, "a", mints="k")
    tale.do(2.0, "restart")
    for t, backend in ((3.0, "b"), (4.0, "c"), (5.0, "b")):
        use(tale, t, backend, key="k")
    assert kinds(tale.judge(by_header(restart="lose", bad_cookie="ignore"))) == []
    assert kinds(tale.judge(by_header(restart="lose"))) != [], "where it is pinned again, it stays"


# URLs.


@pytest.mark.parametrize(
    ("path", "keys", "certain"),
    [
        ("/shop;jsessionid=a1", ("a1",), True),
        ("/shop;v=1;jsessionid=a1;w?x=1", ("a1",), True),
        ("/a;jsessionid=a1/b", ("a1",), True),
        ("/?x&sid=a1&y", ("a1",), True),
        ("/;jsessionid=a1?sid=a1", ("a1",), True),
        ("/;jsessionid=a1?sid=b2", ("a1", "b2"), False),
        ("/;jsessionid=a1;jsessionid=b2", ("a1", "b2"), False),
        ("/;jsessionid=%61%31", ("a1",), True),
        ("/?sid=a+1", ("a+1",), True),
        ("/;jsessionid", (), True),
        ("/;jsessionid=", (), True),
        ("/;xjsessionid=a1", (), True),
        ("/;JSESSIONID=a1", (), True),
        ("/?jsessionid=a1", (), True),
        ("/x?y=;jsessionid=a1", (), True),
        ("/x#;jsessionid=a1", (), True),
    ],
)
def test_where_the_url_holds_the_id(path: str, keys: tuple[str, ...], certain: bool) -> None:
    assert read(by_url(), path) == (keys, certain)


@pytest.mark.parametrize(
    ("changes", "path", "keys", "certain"),
    [
        ({"segments": "last"}, "/a;jsessionid=a1/b", (), True),
        ({"segments": None}, "/a;jsessionid=a1/b", ("a1",), False),
        ({"segments": ["last", "any"]}, "/a;jsessionid=a1/b", ("a1",), False),
        ({"escapes": "kept"}, "/;jsessionid=%61", ("%61",), True),
        ({"escapes": None}, "/;jsessionid=%61", ("a",), False),
        ({"query": None}, "/?sid=a1", (), True),
        ({"path_parameter": None}, "/;jsessionid=a1", (), True),
    ],
)
def test_what_is_not_said_about_the_url_is_not_certain(
    changes: dict[str, Any], path: str, keys: tuple[str, ...], certain: bool
) -> None:
    assert read(by_url(**changes), path) == (keys, certain)


@pytest.mark.parametrize(
    ("word", "path", "keys", "certain"),
    [
        ("unread", "/;jsessionid=u", ("u",), True),
        ("after", "/;jsessionid=u", ("u", "c"), False),
        ("after", "/;jsessionid=c", ("c",), True),
        ("after", "/", ("c",), True),
        ("before", "/", ("c",), True),
        (None, "/", ("c",), False),
        (["unread", "after"], "/;jsessionid=u", ("u", "c"), False),
    ],
)
def test_the_cookie_beside_the_url(word: Any, path: str, keys: tuple[str, ...], certain: bool) -> None:
    assert read(by_url(cookie=word), path, ("Cookie", "x=1; S=c")) == (keys, certain)


def test_a_url_id_is_handed_out_by_the_applications_cookie(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="k")
    use(tale, 1.0, "b", path="/;jsessionid=k")
    use(tale, 2.0, "a", path="/?sid=k")
    verdicts = tale.judge(by_url())
    assert kinds(verdicts) == [Kind.MOVED]
    assert last(verdicts).decided
    answer = next(each for each in tale.records if isinstance(each, Received))
    assert issued_by(answer, by_url()) == ("k",)
    assert issued_by(answer, by_url(minted=False)) == ()


def test_an_id_that_the_application_ended_is_free(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="k")
    use(tale, 1.0, "a", path="/;jsessionid=k", sets="; Max-Age=0")
    use(tale, 2.0, "b", path="/;jsessionid=k")
    assert kinds(tale.judge(by_url())) == []


# The contract.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"affinity": "header"}, "needs a [header] table"),
        ({"affinity": "header", "header": {"name": "a b"}}, "no header name"),
        ({"affinity": "url"}, "needs a [url] table"),
        ({"affinity": "url", "url": {}}, "name the path_parameter"),
        ({"affinity": "url", "url": {"query": "a=b"}}, "needs escapes in a URL"),
        ({"affinity": "url", "url": {"query": "sid", "minted": True}}, "needs application.name"),
        ({"affinity": "url", "url": {"query": "sid", "cookie": "after"}}, "needs application.name"),
        ({"affinity": "header", "header": {"name": "X"}, "layer": 4}, "not possible on layer 4"),
    ],
)
def test_what_a_contract_with_such_a_key_needs(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse(Contract, {"title": "t", "layer": 7} | changes, where="here")
    assert said in str(caught.value)


# A right balancer is never accused: the simulated one, its keys carried elsewhere.


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), loosened=st.booleans())
def test_a_right_balancer_is_never_accused_by_such_keys(seed: int, loosened: bool) -> None:
    rng = random.Random(seed)
    manner = _tabled(rng)
    contract = contract_of(manner, rng if loosened else None)
    history, names = random_story(manner, seed)
    for moved, records in _elsewhere(contract, history):
        verdicts = Oracle(moved, names).judge(records)
        shown = [f"{each.kind}: {each.text}\n" + "\n".join(each.trail) for each in verdicts.violations]
        assert not shown, f"{manner}\n{moved}\n{shown[0]}"


def test_much_of_it_is_decided() -> None:
    decided = judged = 0
    for seed in range(60):
        manner = _tabled(random.Random(seed))
        history, names = random_story(manner, seed)
        for moved, records in _elsewhere(contract_of(manner), history):
            verdicts = Oracle(moved, names).judge(records)
            decided += verdicts.decided
            judged += len(verdicts.judged)
    assert judged > 500
    assert decided > judged / 4


def _tabled(rng: random.Random) -> Manner:
    while True:
        manner = random_manner(rng)
        if manner.key in ("app", "address"):
            return manner


def _elsewhere(contract: Contract, history: list[Record]) -> list[tuple[Contract, list[Record]]]:
    """The same history and promise with the key in a header, and in the URL."""
    plain = contract.model_dump(exclude_none=True, exclude={"hash"}) | {"application": {"name": "S"}}
    if contract.affinity == "source-ip":
        header = plain | {"affinity": "header", "header": {"name": "K", "minted": False}}
        return [(Contract.model_validate(header), [_by_address(each) for each in history])]
    header = plain | {"affinity": "header", "header": {"name": "K", "minted": True}}
    url = plain | {"affinity": "url", "url": {"query": "k", "minted": True, "cookie": "unread"}}
    return [
        (Contract.model_validate(header), [_in_header(each) for each in history]),
        (Contract.model_validate(url), [_in_url(each) for each in history]),
    ]


def _by_address(record: Record) -> Record:
    if not isinstance(record, Sent):
        return record
    return msgspec.structs.replace(record, headers=(("k", masked(record.source, 24, 128)),))


def _values(record: Sent) -> list[str]:
    lines = [value for name, value in record.headers if name == "Cookie"]
    return [pair.strip().removeprefix("S=") for line in lines for pair in line.split(";")]


def _in_header(record: Record) -> Record:
    if isinstance(record, Sent):
        return msgspec.structs.replace(record, headers=tuple(("k", value) for value in _values(record)))
    if isinstance(record, Received):
        lines = [value.partition(";")[0].removeprefix("S=") for name, value in record.headers if name == "Set-Cookie"]
        return msgspec.structs.replace(record, headers=tuple(("K", value) for value in lines))
    return record


def _in_url(record: Record) -> Record:
    if not isinstance(record, Sent):
        return record
    query = "&".join(f"k={value}" for value in _values(record))
    return msgspec.structs.replace(record, headers=(), path=f"/?{query}")
