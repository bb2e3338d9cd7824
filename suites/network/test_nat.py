"""Many users behind one address, and one user behind many: what NAT makes of the addresses that a balancer sees."""

from __future__ import annotations

from collections import Counter

from limpet import Client, Kind, Scenario, behaviour, largest_share, rebalanced, small_group
from limpet.harness.model.contract.stated import may
from limpet.harness.model.statistics import runs_needed

ALPHA = 1e-6
COLLEAGUES = 12
ROUNDS = 4
EGRESS = 5
CONNECTIONS = 8
KEYS = ("source-ip", "lb-cookie", "app-cookie", "header", "url", "tls-session-id")


@behaviour(
    "network.nat-shared",
    affinities=KEYS,
    certainty="where the address is the key one violation is enough; else all users on one backend are no luck",
    error_rate=1e-6,
    budget=260,
    sees=0.07,
)
def test_nat_shared(s: Scenario) -> None:
    """All behind one NAT are on one backend where the address is the key; else they are spread, each with a pin."""
    office = s.nat("an office behind one NAT")
    if s.contract.affinity == "source-ip":
        people = [s.at(office) for _ in range(COLLEAGUES)]
        s.step(f"{COLLEAGUES} people behind {office.addresses[0]} open {ROUNDS} connections each, among strangers")
    else:
        people = _arrive(s, [s.at(office) for _ in range(_enough(s))])
        s.step(f"each of them opens {ROUNDS} more connections, in a random order")
    turns = people * ROUNDS
    s.rng.shuffle(turns)
    met: Counter[str] = Counter()
    for user in turns:
        if s.contract.affinity == "source-ip":
            s.scramble()
        met[user.visit(new_connection=True).backend] += 1
    s.observe(f"people behind one NAT met {', '.join(f'{name} {count} times' for name, count in met.items() if name)}")


def _enough(s: Scenario) -> int:
    """How many users cannot all be on one backend by luck."""
    return runs_needed(largest_share(s), ALPHA / s.n) + 1


def _arrive(s: Scenario, people: list[Client]) -> list[Client]:
    s.step(f"{len(people)} people come from one address, that of their office, for the first time")
    met: Counter[str] = Counter()
    for user in people:
        with s.luck():
            first = user.visit()
        if first.ok and first.backend:
            met[first.backend] += 1
    algorithm = s.contract.algorithm
    # Who hashes may lawfully hash the address of whoever has no key yet.
    told = algorithm is not None and algorithm.binding and not any("hash" in each for each in algorithm.allowed)
    if s.n > 1 and told and len(met) == 1 and met.total() >= _enough(s):
        text = f"all of {met.total()} people behind one NAT were given to {next(iter(met))}, each with a key of its own"
        s.broken(Kind.NOT_BALANCED, text)
    elif told:
        s.certain(f"limit on false accusation {ALPHA:g}")
    return people


@behaviour(
    "network.nat-pool",
    affinities=KEYS,
    fields=("reaction.ip_change",),
    error_rate=1e-6,
    budget=260,
    sees=0.98,
)
def test_nat_pool(s: Scenario) -> None:
    """Behind a NAT that hands each connection another address a pin by address does not last (judged over a group), and
    each of those addresses has a pin of its own; any other pin holds."""
    if s.contract.affinity == "source-ip":
        _another_client_each_time(s)
    elif may(s.contract.reaction.ip_change, "keep"):
        _keeps(s)
    else:
        _tied(s)


def _keeps(s: Scenario) -> None:
    carrier = s.nat("a carrier's NAT", egress=EGRESS)
    users = [user for name in s.names for user in (s.pinned(name), s.pinned(name))]
    s.step(f"{len(users)} users go on behind a NAT with {EGRESS} addresses, {CONNECTIONS} connections each")
    lines = [(user, s.moved(user, carrier)) for user in users]
    homes = {user.name: user.backend for user in users}
    turns = lines * CONNECTIONS
    s.rng.shuffle(turns)
    kept = sum(line.visit(new_connection=True).backend == homes[user.name] for user, line in turns)
    s.observe(f"{kept} of {len(turns)} connections by changing addresses met their user's backend")


def _another_client_each_time(s: Scenario) -> None:
    users = s.pinned_to_each(small_group(s))
    count = sum(len(group) for group in users.values())
    carrier = s.nat("a carrier's NAT", egress=count)
    s.step(f"{count} users come from home no more, but each by the next one of a carrier's {count} addresses")
    lines = {name: [s.moved(user, carrier) for user in group] for name, group in users.items()}
    rebalanced(
        s, lines, Kind.KEY_IGNORED, "the address, which is the key, was another one",
        visit=lambda line: line.visit(new_connection=True),
    )  # fmt: skip
    everybody = [line for group in lines.values() for line in group]
    s.step("they come once more, each by an address that somebody else had before: its pin is the next user's now")
    s.rng.shuffle(everybody)
    for line in everybody:
        line.visit(new_connection=True)


def _tied(s: Scenario) -> None:
    """The cookie is made for one address: behind such a NAT nobody keeps a pin."""
    users = s.pinned_to_each(small_group(s))
    carrier = s.nat("a carrier's NAT", egress=EGRESS)
    s.step(f"everybody goes on behind a NAT with {EGRESS} addresses")
    lines = {name: [s.moved(user, carrier) for user in group] for name, group in users.items()}
    rebalanced(
        s, lines, Kind.KEY_IGNORED, "the pin was made for another address",
        visit=lambda line: line.visit(new_connection=True),
    )  # fmt: skip
