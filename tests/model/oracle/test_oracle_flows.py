"""Below layer 7: connections and flows of datagrams, and what the key is where a flow is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Control, ControlVerb, Received, Record, Sent
from limpet.harness.model.oracle import Oracle, Verdicts
from limpet.harness.model.violation import Kind

FLOW: dict[str, Any] = {
    "title": "flows",
    "layer": 4,
    "protocol": "udp",
    "affinity": "flow",
    "flow": "5-tuple",
    "duration": {"value": "60s", "clock": "idle", "kept_by": "balancer"},
    "reaction": {"added": "keep"},
}
ADDRESS: dict[str, Any] = FLOW | {"affinity": "source-ip", "flow": None}


class Tale:
    """One request a second, each answered at once."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.t = 100.0

    def ask(
        self, port: int, answer: str, *, source: str = "127.200.0.1", connection: str = "", wait: float = 1.0
    ) -> None:
        self.t += wait
        number = str(len(self.records))
        connection = connection or f"{source}:{port}"
        self.records.append(Sent(number, self.t, "ann", connection, source, "UDP", "", port=port))
        error = "" if answer else "timeout"
        self.records.append(Received(number, self.t + 0.01, backend=answer, error=error))

    def told(self, contract: dict[str, Any]) -> Verdicts:
        known = Contract.model_validate({key: value for key, value in contract.items() if value is not None})
        return Oracle(known, ("b1", "b2", "b3"), resolution=0.1).judge(self.records)


def kinds(found: Verdicts) -> list[Kind]:
    return [each.kind for each in found.violations]


def test_a_flow_stays_and_another_port_is_another_flow() -> None:
    tale = Tale()
    for port, backend in ((1001, "b1"), (1002, "b2"), (1001, "b1"), (1002, "b2")):
        tale.ask(port, backend)
    right = tale.told(FLOW)
    assert (kinds(right), right.decided) == ([], 2)
    assert kinds(tale.told(ADDRESS)) == [Kind.MOVED], "one address; the second flow then stays where it went wrong"
    tale.ask(1001, "b2")
    assert kinds(tale.told(FLOW)) == [Kind.MOVED]


def test_every_datagram_is_a_use_of_its_flow_also_on_one_socket() -> None:
    tale = Tale()
    for _ in range(4):
        tale.ask(1001, "b1", connection="c1", wait=40.0)
    tale.ask(1001, "b2", connection="c1", wait=40.0)
    assert kinds(tale.told(FLOW)) == [Kind.EXPIRED_EARLY]
    tale.ask(1001, "b3", connection="c1", wait=61.0)
    assert kinds(tale.told(FLOW)) == [Kind.EXPIRED_EARLY], "after the idle timeout it is a new flow"


def test_a_lost_answer_is_wrong_while_somebody_could_have_given_it() -> None:
    tale = Tale()
    tale.ask(1001, "b1")
    tale.ask(1001, "")
    assert kinds(tale.told(FLOW)) == [Kind.ERROR]


def test_a_connection_for_itself_may_go_anywhere_and_stays() -> None:
    tale = Tale()
    for connection, backend in (("c1", "b1"), ("c2", "b2"), ("c1", "b1"), ("c3", "b1")):
        tale.ask(1001, backend, connection=connection)
    each = FLOW | {"protocol": "tcp", "flow": "connection", "duration": {}}
    found = tale.told(each)
    assert kinds(found) == [] and found.decided == 0
    tale.ask(1001, "b3", connection="c1")
    assert kinds(tale.told(each)) == [Kind.MOVED]
    assert kinds(tale.told(each | {"flow": "5-tuple"})) == [Kind.MOVED, Kind.MOVED], "c2, and c1 in its middle"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flow": None}, 'affinity "flow" needs flow'),
        ({"affinity": "source-ip"}, 'affinity "flow" needs flow'),
        ({"layer": 7}, "not possible on layer 7"),
        ({"udp_idle": "30s"}, "say .duration."),
        ({"affinity": "source-ip", "flow": None, "protocol": "tcp", "udp_idle": "30s"}, "udp_idle is how long"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    contract = {key: value for key, value in (FLOW | change).items() if value is not None}
    with pytest.raises(ValidationError, match=said):
        Contract.model_validate(contract)


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_a_connection_may_be_found_ended_after_a_restart_and_after_nothing_less(verb: ControlVerb) -> None:
    tale = Tale()
    tale.ask(1001, "b1", connection="c1")
    tale.records.append(Control(verb, tale.t + 0.1, tale.t + 0.3))
    tale.ask(1001, "", connection="c1")
    each = ADDRESS | {"protocol": "tcp"}
    assert kinds(tale.told(each)) == ([] if verb == "restart" else [Kind.ERROR])
    tale.ask(1001, "", connection="c2")
    assert Kind.ERROR in kinds(tale.told(each)), "a new one finds the new process"
