"""The pin is the same over each connection of TLS."""

from __future__ import annotations

import ssl
from contextlib import closing
from typing import Literal

from limpet import Client, NotCheckable, Observed, Scenario, behaviour

VERSIONS: tuple[Literal["TLSv1.2", "TLSv1.3"], ...] = ("TLSv1.2", "TLSv1.3")
ROUNDS = 3


@behaviour(
    "protocol.tls",
    only_cited=True,
    layers=(7,),
    variants=("new-session", "resumed-session"),
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=100,
    sees=0.2,
)
def test_tls(s: Scenario) -> None:
    """A user comes over new connections, by each version of TLS, with a new or a resumed session: the same backend."""
    if s.system.endpoint.scheme != "https":
        raise NotCheckable("clients reach this balancer without TLS")
    spoken: set[str] = set()
    resumed = 0
    for home in s.names:
        user = s.pinned(home)
        for version in VERSIONS:
            s.step(f"{user.name}, pinned to {home}, opens connections of {version}")
            went_on = _visits(s, user, version)
            if went_on is not None:
                spoken.add(version)
                resumed += went_on
    s.observe(f"spoken: {', '.join(sorted(spoken)) or 'neither TLS 1.2 nor 1.3'}; {resumed} sessions were resumed")
    if s.variant == "resumed-session" and not resumed:
        raise Observed("the balancer resumes no TLS session: every connection begins anew")


def _visits(s: Scenario, user: Client, version: Literal["TLSv1.2", "TLSv1.3"]) -> int | None:
    """How many of the connections resumed a session; None where this version is not spoken."""
    session: ssl.SSLSession | None = None
    resumed = 0
    for _ in range(ROUNDS):
        s.scramble()
        with closing(user.raw(resume=session, tls_version=version)) as connection:
            if not connection.open():  # which versions it speaks is no matter of stickiness
                return None
            user.over(connection)
            resumed += connection.resumed
            if s.variant == "resumed-session":
                session = connection.tls_session
    return resumed
