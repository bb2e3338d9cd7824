"""Keys of several groups behind one listener are kept apart, and ids of TLS sessions bind to who handed them out."""

from __future__ import annotations

import msgspec
import pytest
from limpet_oracle_tale import PROMISES, Tale, kinds, last

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Received, Sent
from limpet.harness.model.oracle.carried import TLS_SESSION
from limpet.harness.model.violation import Kind

OTHER = "/other/"


def scoped(affinity: str) -> Contract:
    data = {
        "title": "t",
        "layer": 7,
        "affinity": affinity,
        "reaction": PROMISES,
        "scope": {"ends": "group", "path": OTHER},
    }
    return Contract.model_validate(data | ({"cookie": {"name": "S"}} if affinity == "lb-cookie" else {}))


def at(tale: Tale, path: str, t: float, sends: str | None, backend: str, sets: str = "") -> None:
    tale.ask(t, sends, backend, sets=sets)
    sent = tale.records[-2]
    assert isinstance(sent, Sent)
    tale.records[-2] = msgspec.structs.replace(sent, path=path)


def test_a_cookie_of_one_group_is_free_in_the_other_and_holds_in_its_own(tale: Tale) -> None:
    promised = scoped("lb-cookie")
    at(tale, "/", 0.0, None, "a", sets="k")
    at(tale, "/other/x", 1.0, "k", "b", sets="l")
    at(tale, "/other/x", 2.0, "k", "c")
    assert kinds(tale.judge(promised)) == []
    at(tale, "/", 3.0, "k", "a")
    at(tale, "/other/y", 4.0, "l", "b")
    verdicts = tale.judge(promised)
    assert kinds(verdicts) == [] and last(verdicts).decided
    at(tale, "/other/y", 5.0, "l", "a")
    at(tale, "/others", 6.0, "k", "b")
    assert kinds(tale.judge(promised)) == [Kind.MOVED, Kind.MOVED]


def test_an_address_has_a_pin_in_each_group(tale: Tale) -> None:
    promised = scoped("source-ip")
    for t, path, backend in ((0.0, "/", "a"), (1.0, "/other/", "b"), (2.0, "/", "a"), (3.0, "/other/", "b")):
        at(tale, path, t, None, backend)
    assert kinds(tale.judge(promised)) == []
    at(tale, "/other/", 4.0, None, "a")
    assert kinds(tale.judge(promised)) == [Kind.MOVED]


def test_one_group_is_all_there_is_where_no_path_is_known() -> None:
    contract = scoped("lb-cookie")
    assert contract.scope is not None and contract.scope.of("/other/x") != contract.scope.of("/x") == ""
    assert contract.scope.model_copy(update={"path": None}).of("/other/x") == ""


def tls(**reaction: str) -> Contract:
    data = {"title": "t", "layer": 4, "protocol": "tcp", "affinity": "tls-session-id", "reaction": PROMISES | reaction}
    return Contract.model_validate(data)


def shake(tale: Tale, t: float, offers: str, backend: str, names: str, connection: str) -> None:
    tale.ask(t, None, backend, connection=connection)
    sent, received = tale.records[-2:]
    assert isinstance(sent, Sent) and isinstance(received, Received)
    asked = ((TLS_SESSION, offers),) if offers else ()
    said = ((TLS_SESSION, names),) if names else ()
    tale.records[-2:] = [msgspec.structs.replace(sent, headers=asked), msgspec.structs.replace(received, headers=said)]


def test_a_session_leads_to_who_began_it(tale: Tale) -> None:
    shake(tale, 0.0, "", "a", "1f", "c1")
    shake(tale, 1.0, "1f", "a", "1f", "c2")
    verdicts = tale.judge(tls())
    assert kinds(verdicts) == [] and last(verdicts).decided
    shake(tale, 2.0, "", "b", "2e", "c3")
    shake(tale, 3.0, "1f", "b", "3d", "c4")
    assert kinds(tale.judge(tls())) == [Kind.MOVED]
    shake(tale, 4.0, "3d", "c", "4c", "c5")
    assert kinds(tale.judge(tls())) == [Kind.MOVED, Kind.MOVED]


def test_a_session_of_the_dead_is_followed_by_another(tale: Tale) -> None:
    shake(tale, 0.0, "", "a", "1f", "c1")
    tale.do(1.0, "kill", "a")
    shake(tale, 2.0, "1f", "b", "2e", "c2")
    shake(tale, 3.0, "2e", "b", "2e", "c3")
    assert kinds(tale.judge(tls())) == []
    shake(tale, 4.0, "2e", "c", "3d", "c4")
    assert Kind.NOT_REPINNED in kinds(tale.judge(tls())) or Kind.MOVED in kinds(tale.judge(tls()))


def test_it_is_for_connections_alone() -> None:
    for parts in ({"layer": 7}, {"layer": 4, "protocol": "udp"}):
        with pytest.raises(ValueError, match="needs layer 4 and protocol"):
            Contract.model_validate({"title": "t", "affinity": "tls-session-id", "protocol": "tcp"} | parts)
