"""What happens to one user's pin changes nobody else's."""

from __future__ import annotations

from limpet import Client, Contract, Scenario, Special, behaviour, let_pass
from limpet.harness.model.oracle.exchanges import ODD

ROUNDS = 4
OTHERS = 12
"""Users who may not be moved by a failover: so many that not all of them come home by luck from two live backends."""


def _events(contract: Contract) -> list[str]:
    """What can befall one user under this contract."""
    found = []
    if contract.reaction.unhealthy is not None:
        found.append("failover")
    clock = contract.duration.clock
    if clock is not None and {"idle", "absolute"} & set(clock.allowed) and _bounded(contract):
        found.append("expiry")
    if contract.affinity in ("lb-cookie", "app-cookie"):
        found.append("bad-cookie")
    return found or ["strangers"]


def _bounded(contract: Contract) -> bool:
    duration = contract.duration
    return duration.value is not None or (duration.default is not None and duration.default.sole is not None)


@behaviour(
    "affinity.independent",
    variants=_events,
    special={
        "failover": Special(needs=("kill",), touches="backends"),
        "expiry": Special(touches="clock", waits=True),
    },
    error_rate=0.0,
    budget=110,
    sees=0.53,
)
def test_independent(s: Scenario) -> None:
    """One user's failover, expiry or bad cookie moves nobody else."""
    {"failover": _failover, "expiry": _expiry, "bad-cookie": _bad_cookie, "strangers": _strangers}[s.variant](s)


def _failover(s: Scenario) -> None:
    s.need_members(3)
    lost = s.rng.choice(s.names)
    one = s.pinned(lost)
    others = [user for user in [s.pinned() for _ in range(2 * OTHERS)] if user.backend != lost][:OTHERS]
    s.system.kill(lost)
    s.step(f"{one.name} has lost {lost} and goes on, among everybody else")
    for _ in range(ROUNDS // 2):
        _all_in_any_order(s, [one, *others])


def _expiry(s: Scenario) -> None:
    """One user's pin is as old as the duration when everybody else's is a fifth of it."""
    one = s.pinned()
    frozen = s.pinned()
    frozen.freeze()
    let_pass(s, 0.9 * s.duration)
    others = [s.pinned(name) for name in s.names]
    let_pass(s, 0.15 * s.duration + min(s.resolution, 0.2 * s.duration))
    s.step(f"the pins of {one.name} and {frozen.name} are over; they come again, among everybody else")
    for _ in range(2):
        _all_in_any_order(s, [one, frozen, *others])


def _bad_cookie(s: Scenario) -> None:
    one = s.pinned()
    others = [s.pinned(name) for name in s.names]
    header = one.cookie_header()
    value = one.key
    bad = [header.replace(value, each) for each in (_flipped(value), value[: len(value) // 2], "", "%00", "x" * 2048)]
    s.step(f"{one.name} sends bad cookies, among everybody else")
    for cookie in bad if value else [f"{header}x"]:
        one.request("GET", s.system.loaded.target.request.path, cookie=cookie, note=ODD)
        _all_in_any_order(s, others)


def _strangers(s: Scenario) -> None:
    users = [s.pinned(name) for name in s.names]
    s.step("strangers come and go")
    for _ in range(ROUNDS):
        s.client().visit()
        _all_in_any_order(s, users)


def _all_in_any_order(s: Scenario, users: list[Client]) -> None:
    order = list(users)
    s.rng.shuffle(order)
    for user in order:
        user.visit(new_connection=s.contract.layer == 4)


def _flipped(value: str) -> str:
    """The same length, one character in the middle another one."""
    middle = len(value) // 2
    return f"{value[:middle]}{'B' if value[middle : middle + 1] == 'A' else 'A'}{value[middle + 1 :]}"
