"""A right balancer is never accused: random balancers, contracts that they keep, random trouble."""

from __future__ import annotations

import random
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limpet_oracle_story import contract_of, random_manner, random_story

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Received, Record, Sent
from limpet.harness.model.oracle import Oracle


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), loosened=st.booleans())
def test_a_right_balancer_is_never_accused(seed: int, loosened: bool) -> None:
    rng = random.Random(seed)
    manner = random_manner(rng)
    contract = contract_of(manner, rng if loosened else None)
    history, names = random_story(manner, seed)
    verdicts = Oracle(contract, names).judge(history)
    shown = [f"{each.kind}: {each.text}\n" + "\n".join(each.trail) for each in verdicts.violations]
    assert not shown, f"{manner}\n{shown[0]}"


def test_most_of_what_pinned_clients_do_is_decided() -> None:
    decided = judged = 0
    for seed in range(60):
        manner = random_manner(random.Random(seed))
        history, names = random_story(manner, seed)
        verdicts = Oracle(contract_of(manner), names).judge(history)
        decided += verdicts.decided
        judged += len(verdicts.judged)
    assert judged > 500
    assert decided > judged / 3, "an oracle that allows everything accuses nobody either"


def test_the_verdict_depends_neither_on_the_order_of_records_nor_on_other_clients() -> None:
    for seed in range(40):
        manner = random_manner(random.Random(seed))
        history, names = random_story(manner, seed)
        oracle = Oracle(contract_of(manner), names)
        shuffled = list(history)
        random.Random(seed).shuffle(shuffled)
        before, after = oracle.judge(history), oracle.judge(shuffled)
        assert [(each.exchange.sent.id, each.allowed, each.decided) for each in before.judged] == [
            (each.exchange.sent.id, each.allowed, each.decided) for each in after.judged
        ]


def test_the_cost_of_judging_does_not_grow_with_the_square_of_the_requests() -> None:
    def cost(count: int) -> float:
        history: list[Record] = []
        for number in range(count):
            headers = (("Cookie", "S=k"),) if number else ()
            history.append(Sent(f"r{number}", number * 0.001, "x", "", "10.0.0.1", headers=headers))
            given = () if number else (("Set-Cookie", "S=k"),)
            end = number * 0.001 + (0.2 if number else 0.0)  # two hundred at once
            history.append(Received(f"r{number}", end, 200, "b1", headers=given))
        contract = Contract.model_validate({"title": "t", "layer": 7, "affinity": "lb-cookie", "cookie": {"name": "S"}})
        begin = time.process_time()
        verdicts = Oracle(contract, ["b1", "b2"]).judge(history)
        assert verdicts.decided > count / 2
        return time.process_time() - begin

    cost(200)
    assert cost(4000) < 40 * cost(400) + 1.0
