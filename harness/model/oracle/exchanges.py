"""Requests with their responses, and the affinity keys that travelled in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import SetCookie, parse_cookie_headers, parse_set_cookie
from limpet.harness.model.history import Arrived, Received, Record, Sent
from limpet.harness.model.oracle.addresses import client_address
from limpet.harness.model.oracle.carried import carried
from limpet.harness.model.oracle.carried import deletes as _deletes
from limpet.harness.model.oracle.carried import named as _named

ODD = "odd"
"""A `Sent.note`: the request is wrong on purpose, so that the oracle does not judge whether it succeeded."""

_ANSWERED = "limpet-request"
"""The header of a response in which a backend repeats the id of the request."""

LINGER = 5.0
"""Seconds that a balancer may go on with a request whose client gave up, where no backend's record says otherwise."""


@dataclass(frozen=True, eq=False)
class Exchange:
    """One request and what came back; ``received`` is None where nothing was recorded.

    ``keys`` were sent, ``issued`` were handed out by the response. ``certain``: it is beyond doubt that the balancer
    went by these keys (one value, and everything beside it that the contract asks for). ``dropped``: the response told
    the client to forget the key. ``effective_end``: until when the balancer may have been deciding about it.
    """

    sent: Sent
    received: Received | None
    keys: tuple[str, ...] = ()
    issued: tuple[str, ...] = ()
    certain: bool = True
    dropped: bool = False
    arrived_at: frozenset[str] = frozenset()
    effective_end: float = math.inf

    @property
    def begin(self) -> float:
        """When it was sent, monotonic seconds."""
        return self.sent.t

    @property
    def end(self) -> float:
        """When the whole response was there, monotonic seconds; infinite where none came."""
        return self.received.t if self.received else math.inf

    @property
    def lab_begin(self) -> float:
        """When it was sent, by the deployment's virtual clock."""
        return self.sent.t + self.sent.offset

    @property
    def lab_end(self) -> float:
        """When the whole response was there, by the deployment's virtual clock."""
        return self.received.t + self.received.offset if self.received else math.inf

    @property
    def backend(self) -> str:
        """Who answered; "" when nobody did or it is unknown."""
        return "" if self.received is None or self.received.error else self.received.backend

    @property
    def anothers(self) -> bool:
        """Whether it was given the answer to another request: limpet's own backends say which one they answer."""
        received = self.received
        said = _named(received.headers, _ANSWERED) if received is not None and not received.error else ()
        return any(said) and self.sent.id not in said

    @property
    def failed(self) -> bool:
        """No complete answer, or an error of the balancer's own making (one in which no backend named itself)."""
        received = self.received
        return received is not None and (bool(received.error) or (received.status >= 400 and not received.backend))


def exchanges(history: Iterable[Record], contract: Contract) -> list[Exchange]:
    """All requests of a history, in the order of their sending."""
    sent: dict[str, Sent] = {}
    received: dict[str, Received] = {}
    arrived: dict[str, list[Arrived]] = {}
    for record in history:
        if isinstance(record, Sent):
            sent.setdefault(record.id, record)
        elif isinstance(record, Received):
            received.setdefault(record.id, record)
        elif isinstance(record, Arrived):
            arrived.setdefault(record.id, []).append(record)
    reader = _Reader(contract)
    found = [
        reader.exchange(each, received.get(each.id), arrived.get(each.id, ()), bool(arrived)) for each in sent.values()
    ]
    return sorted(found, key=lambda each: each.begin)


class _Reader:
    """Reads keys the way that one contract says."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._carried = carried(contract)
        self._companion = _companion(contract)
        self._application = application_names(contract) if contract.affinity == "app-cookie" else None
        self._wanted = cookie_names(contract)
        twins = contract.cookie.twins if contract.cookie else ()
        self._weak_names = {each.name for each in twins if not must(each.alone_keeps, True)}
        self._joins = self._wanted is not None and bool(contract.cookie and contract.cookie.pattern)

    def exchange(
        self, sent: Sent, received: Received | None, arrived: Sequence[Arrived], all_arrivals: bool
    ) -> Exchange:
        keys, certain = self._sent(sent)
        issued, dropped = self._issued(received) if received else ((), False)
        if self._contract.scope is not None and (scope := self._contract.scope.of(sent.path)):
            keys, issued = tuple(scope + key for key in keys), tuple(scope + key for key in issued)
        end = received.t if received else math.inf
        if arrived:
            end = max([each.t for each in arrived] + ([received.t] if received else []))
        elif received and received.error == "timeout" and not all_arrivals:
            end = received.t + LINGER
        at = frozenset(each.backend for each in arrived)
        return Exchange(sent, received, keys, issued, certain, dropped, at, end)

    def _sent(self, sent: Sent) -> tuple[tuple[str, ...], bool]:
        if self._carried is not None:
            return self._carried.sent(sent)
        if self._contract.affinity == "source-ip":
            address = client_address(sent, self._contract.client_address)
            network = masked(address, self._contract.key_prefix.v4, self._contract.key_prefix.v6)
            return ((network,), True) if network else ((), True)
        if self._contract.affinity == "flow":
            key = f"{sent.source}:{sent.port}" if must(self._contract.flow, "5-tuple") else sent.connection
            return ((key,), True) if sent.port else ((), True)
        if self._wanted is None:
            return (), True
        pairs = parse_cookie_headers(_named(sent.headers, "cookie"))
        ours = [(name, value) for name, value in pairs if self._wanted.fullmatch(name)]
        names = {name for name, _ in ours}
        duplicates = self._contract.reaction.duplicates
        if len(ours) > 1 and len(names) == 1 and (must(duplicates, "first") or must(duplicates, "last")):
            ours = [ours[0] if must(duplicates, "first") else ours[-1]]
        if self._joins and len(names) == len(ours):
            values = _join(ours)
        else:
            values = tuple(dict.fromkeys(value for _, value in ours))
        whole = self._companion is None or any(self._application_has(name) for name, _ in pairs)
        return values, len(values) <= 1 and whole and not (names and names <= self._weak_names)

    def _application_has(self, name: str) -> bool:
        return self._application is None or self._application.fullmatch(name) is not None

    def _issued(self, received: Received) -> tuple[tuple[str, ...], bool]:
        if self._carried is not None:
            return self._carried.issued(received)
        if self._wanted is None:
            return (), False
        set_now = [parse_set_cookie(line) for line in _named(received.headers, "set-cookie")]
        ours = [each for each in set_now if isinstance(each, SetCookie) and self._wanted.fullmatch(each.name)]
        given = [(each.name, each.value) for each in ours if each.value and not _deletes(each)]
        dropped = bool(ours) and not given
        if self._joins and len({name for name, _ in given}) == len(given):
            return _join(given), dropped
        return tuple(dict.fromkeys(value for _, value in given)), dropped


def issued_by(received: Received, contract: Contract) -> tuple[str, ...]:
    """The distinct affinity keys that a response hands out."""
    return _Reader(contract)._issued(received)[0]


def cookie_names(contract: Contract) -> re.Pattern[str] | None:
    """What the key's cookie is called, the balancer's own where it goes by two; None where the key is no cookie."""
    if contract.affinity == "app-cookie":
        return _companion(contract) or application_names(contract)
    return _balancers_names(contract) if contract.affinity == "lb-cookie" else None


def application_names(contract: Contract) -> re.Pattern[str] | None:
    """What the application's cookie is called; None where nobody says."""
    application = contract.application
    return re.compile(re.escape(application.name)) if application and application.name else None


@lru_cache(maxsize=4096)
def masked(source: str, v4: int, v6: int) -> str:
    """The part of a source address that is the key, such as ``127.9.9.0/24``; "" when it is no address."""
    try:
        return str(ip_network(f"{source}/{v6 if ':' in source else v4}", strict=False))
    except ValueError:
        return ""


def _companion(contract: Contract) -> re.Pattern[str] | None:
    """The balancer's own cookie beside the application's: where there is one, it says where to go."""
    return _balancers_names(contract) if contract.affinity == "app-cookie" else None


def _balancers_names(contract: Contract) -> re.Pattern[str] | None:
    cookie = contract.cookie
    if cookie is None:
        return None
    names = [re.escape(cookie.name)] if cookie.name else [cookie.pattern] if cookie.pattern else []
    names += [re.escape(twin.name) for twin in cookie.twins]
    return re.compile("|".join(f"(?:{name})" for name in names)) if names else None


def _join(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The shards of one cookie as one key."""
    ordered = [value for _, value in sorted(pairs)]
    return ("|".join(ordered),) if ordered else ()
