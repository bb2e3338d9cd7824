"""The users of a scenario: who they are, how they get a pin, and how luck stays limpet's own."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from limpet.harness.clients import Exchange, RawConnection, SourcePool, persona
from limpet.harness.clients.way import STRAIGHT, Way
from limpet.harness.engine.answers import cookies_in
from limpet.harness.engine.carrying import Carrying, invented, is_minted
from limpet.harness.engine.client import Client, Manners
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.identity import identify_by
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.recorder import HistoryRecorder
from limpet.harness.engine.timeline import Timeline
from limpet.harness.model.contract import Contract
from limpet.harness.model.oracle.exchanges import ODD, application_names, cookie_names
from limpet.harness.model.violation import Kind, Violation

_HELD = 5.0
"""Seconds that a stranger's request is held open at the most."""

_DRAWS = 30
"""New sessions tried for each member before a backend counts as unreachable for new sessions, if that takes longer
than `_PATIENT`."""

_MANY = 150
"""As many at the most, where the balancer answers fast. One whose rotation counts the requests of pinned users too owes
the other members two or three new sessions for each request that a user of this one has sent."""

_PATIENT = 10.0
"""Seconds after which no more than `_DRAWS` are tried."""

_AT_ONCE = 10
"""Of these, how many go before the rest waits for a backend that may be avoided for a while."""

_LONGEST = 5.0
"""Seconds of that wait at the most."""

_ANSWERS = 4
"""Answers that may come without the balancer's cookie where nobody said with which it comes."""

_PATIENCE = 3
"""Of these, how many go before open requests of strangers are to lead new sessions elsewhere."""


class _Closing(Protocol):
    def close(self) -> None: ...


class _Held:
    """A held request that nobody will wait for."""

    def __init__(self, connection: RawConnection, recorder: HistoryRecorder) -> None:
        self._connection = connection
        self._recorder = recorder

    def close(self) -> None:
        self._connection.reset()
        self._recorder.abandon()


class People(ABC):
    """What a scenario knows of its users; `Scenario` adds the rest."""

    system: Deployment
    rng: random.Random
    violations: list[Violation]
    _recorder: HistoryRecorder
    _seed: str
    _cast: str
    _timeline: Timeline
    sources: SourcePool
    elsewhere: int
    _people: int
    _clients: list[Client]

    @property
    def contract(self) -> Contract:
        """What the deployment promises."""
        return self.system.contract

    @property
    def cast(self) -> str:
        """Whose personas play: the same in all scenarios of a run."""
        return self._cast

    @property
    def names(self) -> tuple[str, ...]:
        """The members now, in order."""
        return self.system.names

    @property
    def n(self) -> int:
        """How many members there are now."""
        return len(self.system.names)

    def client(
        self, *, cookies: bool = True, keep: bool = True, source: str | None = None, way: Way = STRAIGHT
    ) -> Client:
        """A new user at a new address.

        Args:
            cookies: whether it keeps cookies, or what else carries its key.
            keep: whether it keeps its connection.
            source: its address, None for one whose key nobody else has.
            way: what is between it and the balancer; see `Scenario.home` and `Scenario.nat`.
        """
        self._people += 1
        who = persona(self._cast, self._people)
        plain = self.system.loaded.target.request
        mints = self.contract.affinity == "app-cookie" or is_minted(self.contract)
        mints = mints and self.system.loaded.target.backends.owner == "limpet"
        number = self._people
        carrying = Carrying(self.contract, keeps=cookies, own=invented(self._seed, number), in_query=number % 2 == 0)
        local = self.system.local
        client = Client(
            contract=self.contract,
            endpoint=self.system.endpoint,
            recorder=self._recorder,
            name=f"{who.name} ({self._people})",
            source=source or (self.sources.draw() if local else None),
            now=lambda: time.time() + self.system.offset,
            headers=who.headers,
            manners=Manners(
                path=plain.path,
                method=plain.method,
                headers=tuple(plain.headers.items()),
                body=plain.body.encode() or None,
                app_mints=mints,
                serves_all=self.system.loaded.target.backends.owner == "limpet",
                patience=self._timeline.patience,
            ),
            identify=identify_by(self.system.loaded.target.backends),
            cookies=cookies,
            keep=keep,
            carrying=carrying,
            way=way,
        )
        client.persona = who
        self._clients.append(client)
        return client

    def pinned(self, name: str | None = None, *, keep: bool = True) -> Client:
        """A user with a pin, to this backend where a name is given.

        Raises:
            Inconclusive: the balancer gave no new session to that backend within the budget.
        """
        tries = 0
        for number in self._draws(1):
            tries += 1
            client = self.client(keep=keep)
            with self._elsewhere(number):
                self._require_key(client, client.visit())
            if client.backend and name in (None, client.backend):
                return client
            client.close()
            self.elsewhere += 1
        raise Inconclusive(f"no new session reached {name or 'any backend'} in {tries} tries")

    def pinned_to_each(self, count: int) -> dict[str, list[Client]]:
        """So many pinned users for every member, in a random order of creation.

        Raises:
            Inconclusive: a backend got too few new sessions within the budget.
        """
        found: dict[str, list[Client]] = {name: [] for name in self.names}
        for number in self._draws(count):
            client = self.client()
            with self._elsewhere(number):
                self._require_key(client, client.visit())
            group = found.get(client.backend)
            if group is not None and len(group) < count:
                group.append(client)
                if all(len(each) == count for each in found.values()):
                    return found
            else:
                client.close()
                self.elsewhere += 1
        few = {name: len(group) for name, group in found.items()}
        raise Inconclusive(f"too few new sessions reached some backend within the budget: {few}")

    def keyed(self, user: Client) -> Client:
        """The same user with its key in hand: on a slow machine a short pin may be over when its turn comes."""
        if not user.key:
            user.visit()
        return user

    def _draws(self, count: int) -> Iterator[int]:
        """Numbers the tries to get so many users of certain backends."""
        begin, many = time.monotonic(), count * self.n
        for number in range(_MANY * many):
            if number == _AT_ONCE * many:
                self._bide()
                begin = time.monotonic()
            if number >= _DRAWS * many and time.monotonic() - begin > _PATIENT:
                return
            yield number

    def _bide(self) -> None:
        """Gives a balancer the time that it may lawfully avoid a backend after a first connection that went wrong."""
        timing = self.system.loaded.target.timing
        self._timeline.wait(min(max(timing.up_noticed.value, timing.retried.value), _LONGEST))

    def _elsewhere(self, tries: int) -> AbstractContextManager[None]:
        """After some tries: with idle backends a balancer that counts what is open may always prefer the same one."""
        return self.luck() if self.counts_connections and tries >= _PATIENCE * self.n else nullcontext()

    def _require_key(self, client: Client, exchange: Exchange) -> None:
        """A first answer without the cookie by which the balancer goes pins nobody, and that is a broken promise."""
        by_cookie = self.contract.affinity in ("lb-cookie", "app-cookie")
        if not (by_cookie or is_minted(self.contract)) or not exchange.ok or not exchange.backend:
            return
        self._require_application(exchange)
        if by_cookie and cookie_names(self.contract) is None and exchange.set_cookies:
            return  # nobody said what it is called, so one of these may be it
        missing = Kind.COOKIE_NOT_ISSUED if by_cookie else Kind.KEY_NOT_ISSUED
        answers = 1
        while self._may_come_later and not client.issued(exchange) and answers < _ANSWERS:
            exchange, answers = client.visit(), answers + 1
        if client.issued(exchange) or any(each.kind is missing for each in self.violations):
            return
        if not by_cookie:
            if self.system.loaded.target.backends.owner != "limpet":
                raise Inconclusive("the backends' first answer hands out no session id; name a [request] that gets one")
            text = f"{client.name}'s first answer lacks the session id that its backend handed out"
            self.broken(missing, text, exchange)
            return
        which = "balancer's" if self.contract.affinity == "lb-cookie" else "application's"
        first = "first answer lacks" if answers == 1 else f"first {answers} answers lack"
        text = f"{client.name}'s {first} the {which} cookie, so nothing pins this user"
        self.broken(missing, text, exchange)

    def _require_application(self, exchange: Exchange) -> None:
        """Where the key is the cookie of the user's own servers, that it does not come is nobody's broken promise."""
        if self.contract.affinity != "app-cookie" or self.system.loaded.target.backends.owner == "limpet":
            return
        names = application_names(self.contract)
        if names is not None and not any(names.fullmatch(each.name) for each in cookies_in(exchange)):
            request = self.system.loaded.target.request
            raise NotCheckable(
                f'no cookie "{names.pattern}" came with the answer to {request.method} {request.path}, '
                "and your own servers are to set it: name a [request] that gets one"
            )

    @property
    def _may_come_later(self) -> bool:
        """Whether nobody said that the balancer's cookie comes with the first answer."""
        cookie = self.contract.cookie
        if self.contract.affinity != "lb-cookie" or cookie is None:
            return False
        return cookie.issued is None or not cookie.issued.binding

    def scramble(self, among: int | None = None) -> None:
        """A random number of requests of strangers, so that the next pick is not the balancer's rotation.

        Args:
            among: how many backends take new sessions, None for all members.
        """
        for _ in range(self.rng.randrange(among or self.n)):
            self.client(cookies=False, keep=False).visit()

    @contextmanager
    def luck(self, among: int | None = None) -> Iterator[None]:
        """Makes the next keyless pick limpet's luck, not the balancer's habit.

        0 … n-1 strangers go before, so that a rotation stands anywhere. Where connections count, their requests are
        held open meanwhile, since a balancer may lawfully prefer the first of several idle backends.

        Args:
            among: how many backends take new sessions (the n above), None for all members.
        """
        count = self.rng.randrange(among or self.n)
        if not self.counts_connections or not self._holds:
            for _ in range(count):
                self.client(cookies=False, keep=False).visit()
            yield
            return
        held = [self._hold() for _ in range(count)]
        try:
            yield
        finally:
            for connection in held:
                connection.close()

    @property
    def counts_connections(self) -> bool:
        """Whether the balancer may look at open requests when it places a new one."""
        algorithm = self.contract.algorithm
        return algorithm is None or any("least" in each for each in algorithm.allowed)

    @property
    def _holds(self) -> bool:
        """Whether a request can be kept open: only limpet's servers do so on demand; a connection just stays."""
        return self.system.loaded.target.backends.owner == "limpet" or self.system.endpoint.scheme in ("tcp", "udp")

    def _hold(self) -> _Closing:
        """A stranger's request that its backend holds; returns when a backend has it."""
        stranger = self.client(cookies=False)
        if stranger.endpoint.scheme in ("tcp", "udp"):
            stranger.visit()  # the open connection or flow is what counts
            return stranger
        connection = stranger.raw()
        head = [b"GET / HTTP/1.1", b"Host: " + stranger.endpoint.authority.encode(), f"Limpet-Hold: {_HELD}".encode()]
        request = connection.send(head, client=stranger.name, note=ODD)
        ours = self._recorder.prefix
        self.until(lambda: any(each.id == request for each in self.system.arrived_of(ours)), 2.0)
        return _Held(connection, self._recorder)

    @abstractmethod
    def broken(self, kind: Kind, text: str, exchange: Exchange | None = None, **evidence: str) -> None:
        """Notes a violation; see `Scenario`."""

    @abstractmethod
    def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether the condition became true in time; see `Scenario`."""
