"""How a user carries a key that is in no cookie: in a header of each request, or in its URL."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import quote

from limpet.harness.clients import Exchange
from limpet.harness.clients.tls_sessions import TlsSessions
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import Jar, SetCookie, parse_set_cookie
from limpet.harness.model.cookies.jar import StoreOutcome
from limpet.harness.model.history import Header
from limpet.harness.model.oracle.exchanges import issued_by

MINT = "Limpet-Mint"
"""The request header by which limpet's backends are told to hand out a session id in a header of that name."""

_SALT = secrets.token_hex(8)
"""A balancer that runs already may remember the keys of the run before."""


def is_minted(contract: Contract) -> bool:
    """Whether the key in a header or URL is handed out by a response."""
    return any(key is not None and must(key.minted, True) for key in (contract.header, contract.url))


def invented(seed: str, number: int) -> str:
    """A key that nobody else has."""
    return hashlib.sha256(f"{_SALT}/{seed}/{number}".encode()).hexdigest()[:24]


class Carrying:
    """One user's key, shared by all of the user's connections; without effect where the key is none of these.

    Args:
        contract: what the balancer goes by.
        keeps: whether the user keeps a key at all.
        own: what the user invents where nobody hands keys out.
        in_query: which of the two places in the URL this user prefers, where the contract knows both.
    """

    def __init__(self, contract: Contract, *, keeps: bool, own: str, in_query: bool = False) -> None:
        self._contract = contract
        self._header = contract.header if contract.affinity == "header" else None
        self._url = contract.url if contract.affinity == "url" else None
        self._learns = keeps and is_minted(contract)
        self.sessions = TlsSessions() if keeps and contract.affinity == "tls-session-id" else None
        self.carries = self._header is not None or self._url is not None
        self.value = own if keeps and self.carries and not is_minted(contract) else ""
        self._in_query = self._url is not None and self._url.query is not None
        self._in_query = self._in_query and (in_query or self._url is None or self._url.path_parameter is None)

    def headers(self, key: str) -> tuple[Header, ...]:
        """The header lines that carry this key; none for "" and for keys in URLs."""
        return ((self._header.name, key),) if self._header is not None and key else ()

    def path(self, path: str, key: str) -> str:
        """The request target with this key in it, escaped; as it was for "" and for keys in headers."""
        if self._url is None or not key:
            return path
        before, mark, query = path.partition("?")
        if self._in_query:
            return f"{before}?{query}{'&' if query else ''}{self._url.query}={quote(key, safe='')}"
        return f"{before};{self._url.path_parameter}={quote(key, safe='')}{mark}{query}"

    def wishes(self) -> tuple[Header, ...]:
        """What limpet's backends are told, so that a user without a key gets one in a header."""
        return ((MINT, self._header.name),) if self._header is not None else ()

    def learn(self, exchange: Exchange) -> None:
        """Keeps what the response handed out."""
        if self._learns and exchange.received is not None:
            for value in issued_by(exchange.received, self._contract):
                self.value = value

    def jar(self, clock: Callable[[], float]) -> Jar:
        """The user's cookie jar. Ids ride in URLs because a browser refuses the cookie that would hold them."""
        application = self._contract.application
        refused = application.name if self._url is not None and application is not None and application.name else ""
        return _PickyJar(clock, refused) if refused else Jar(clock, trust_loopback=True)


class _PickyJar(Jar):
    """Takes all cookies but one."""

    def __init__(self, now: Callable[[], float], refused: str) -> None:
        super().__init__(now, trust_loopback=True)
        self._refused = refused

    def store(
        self, url: str, set_cookie_lines: Sequence[str], *, cross_site: bool = False, navigation: bool = False
    ) -> list[StoreOutcome]:
        """As any jar, the refused cookie left out."""
        taken = [line for line in set_cookie_lines if not self._refuses(line)]
        return super().store(url, taken, cross_site=cross_site, navigation=navigation)

    def _refuses(self, line: str) -> bool:
        parsed = parse_set_cookie(line)
        return isinstance(parsed, SetCookie) and parsed.name == self._refused
