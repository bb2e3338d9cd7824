"""One simulated user of a scenario: a persona with an address, a cookie jar and a connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from ssl import SSLSession
from typing import Literal, NamedTuple, TypedDict, Unpack

from limpet.harness.clients import BulkPlan, Exchange, HttpClient, Persona, RawConnection, TcpClient, UdpClient
from limpet.harness.clients.base import Endpoint, Identify, Recorder
from limpet.harness.clients.way import STRAIGHT, Way
from limpet.harness.engine.carrying import Carrying
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import Jar, parse_cookie_headers
from limpet.harness.model.errors import HarnessFault
from limpet.harness.model.history import Header
from limpet.harness.model.oracle.exchanges import ODD, cookie_names, issued_by

LOST = 5.0
"""Seconds after which an answer in a datagram counts as lost."""

SET_COOKIE = "Limpet-Set-Cookie"
"""The request header by which limpet's backends are told to set a cookie."""


@dataclass(frozen=True)
class Manners:
    """What a plain request to this deployment looks like, and how long it may take (seconds).

    ``patience`` goes around each request: it says who else may use the time of one that hangs. ``serves_all``: its
    servers answer any method and path, as limpet's own do; of others nobody knows more than what is stated here.
    """

    path: str = "/"
    method: str = "GET"
    headers: tuple[Header, ...] = ()
    body: bytes | None = None
    timeout: float = 10.0
    app_mints: bool = False
    serves_all: bool = True
    patience: Callable[[], AbstractContextManager[None]] = nullcontext


class Otherwise(TypedDict, total=False):
    """What of an endpoint a single connection may do in another way; host, port and ca: of another node."""

    host: str
    port: int
    ca: str
    tls_version: Literal["", "TLSv1.2", "TLSv1.3"]
    proxy_protocol: Literal["", "v1", "v2"]


class Spoken(NamedTuple):
    """One request, in the words of HTTP."""

    method: str
    path: str
    headers: tuple[Header, ...]
    body: bytes


class Client:
    """A simulated user. Not for several threads at once; see `another`.

    Args:
        contract: what the balancer goes by.
        endpoint: the balancer.
        recorder: the scenario's history.
        name: the persona.
        source: its address.
        now: its wall clock, for cookie expiry.
        headers: its browser and language.
        manners: what a plain request looks like here.
        identify: who answered, from a response.
        cookies: whether it keeps cookies at all, or whatever else the key is.
        keep: whether it keeps its connection between requests.
        carrying: its key in a header or in the URL, where that is what the balancer goes by.
        port: its port below layer 7, None for any; the first one is kept for ever where it is part of the key.
        way: what is between it and the balancer, such as a `Vantage`.
    """

    def __init__(
        self,
        *,
        contract: Contract,
        endpoint: Endpoint,
        recorder: Recorder,
        name: str,
        source: str | None,
        now: Callable[[], float],
        headers: Sequence[Header],
        manners: Manners,
        identify: Identify,
        cookies: bool = True,
        keep: bool = True,
        carrying: Carrying | None = None,
        port: int | None = None,
        way: Way = STRAIGHT,
    ) -> None:
        self.contract = contract
        self._carrying = Carrying(contract, keeps=False, own="") if carrying is None else carrying
        self.endpoint = endpoint
        self.name = name
        self.source = source
        self.way = way
        self.skew = 0.0
        self.last: Exchange | None = None
        self.persona: Persona | None = None
        self._now = now
        self.jar: Jar | None = self._carrying.jar(self.clock) if cookies else None
        self._recorder = recorder
        self._manners = manners
        self._identify = identify
        self._headers = tuple(headers)
        self._frozen: str | None = None
        self._frozen_key: str | None = None
        self._http: HttpClient | None = None
        self._tcp: TcpClient | UdpClient | None = None
        flow = contract.affinity == "flow" and must(contract.flow, "5-tuple")
        if endpoint.scheme == "tcp":
            self._tcp = TcpClient(
                endpoint, recorder, name=name, source=source, source_port=port, timeout=manners.timeout, keep=keep,
                same_port=flow, way=way, sessions=self._carrying.sessions,
            )  # fmt: skip
        elif endpoint.scheme == "udp":
            self._tcp = UdpClient(
                endpoint, recorder, name=name, source=source, source_port=port, keep=keep, same_port=flow,
                timeout=min(manners.timeout, LOST), way=way,
            )  # fmt: skip
        else:
            self._http = HttpClient(
                endpoint, recorder, name=name, source=source, jar=self.jar, headers=headers,
                timeout=manners.timeout, identify=identify, keep=keep, way=way,
            )  # fmt: skip

    def clock(self) -> float:
        """This user's wall clock, unix seconds: the deployment's, wrong by ``skew``."""
        return self._now() + self.skew

    @property
    def identify(self) -> Identify:
        """How a response tells who gave it."""
        return self._identify

    @property
    def backend(self) -> str:
        """Who answered last; "" when nobody did."""
        return self.last.backend if self.last else ""

    @property
    def key(self) -> str:
        """The value of the affinity cookie, header or URL id that it would send now; "" without one."""
        if self._carrying.carries:
            return self._carrying.value if self._frozen_key is None else self._frozen_key
        if self._carrying.sessions is not None:
            return self._carrying.sessions.id
        wanted = cookie_names(self.contract)
        if wanted is None:
            return ""
        for name, value in parse_cookie_headers(self.cookie_header()):
            if wanted.fullmatch(name):
                return value
        return ""

    def cookie_header(self) -> str:
        """The Cookie header that it would send now, "" for none."""
        if self._frozen is not None:
            return self._frozen
        return self.jar.header(self.endpoint.base_url + self._manners.path) if self.jar is not None else ""

    def freeze(self) -> None:
        """From now on it sends the cookies (or other key) of this moment for ever: whatever is set or expires."""
        self._frozen = self.cookie_header()
        self._frozen_key = self.key if self._carrying.carries else None
        if self._carrying.sessions is not None:
            self._carrying.sessions.freeze()

    def visit(
        self,
        *,
        new_connection: bool = False,
        note: str = "",
        timeout: float | None = None,
        cookie: str | None = None,
        key: str | None = None,
    ) -> Exchange:
        """One plain request, on whatever layer this deployment works; ``cookie`` and ``key`` as in `request`."""
        if self._tcp is not None:
            if new_connection:
                self._tcp.close()
            with self._manners.patience():
                self.last = self._tcp.ask(note=note)
            return self.last
        plain = self._manners
        return self.request(
            plain.method, plain.path, body=plain.body, cookie=cookie, key=key,
            new_connection=new_connection, note=note, timeout=timeout,
        )  # fmt: skip

    def hold(self, seconds: float) -> Exchange:
        """A request that its backend answers only after so many seconds (limpet's own backends)."""
        if self._tcp is not None:
            with self._manners.patience():
                self.last = self._tcp.ask(hold=seconds)
            return self.last
        return self.request("GET", self._manners.path, headers=(("Limpet-Hold", f"{seconds:g}"),))

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Sequence[Header] = (),
        body: bytes | None = None,
        chunked: bool = False,
        cookie: str | None = None,
        new_connection: bool = False,
        timeout: float | None = None,
        note: str = "",
        key: str | None = None,
    ) -> Exchange:
        """One HTTP request; ``cookie`` replaces the jar's Cookie header, ``key`` what it carries ("" for none).

        Raises:
            HarnessFault: this deployment does not speak HTTP.
        """
        if self._http is None:
            raise HarnessFault("an HTTP request to a balancer of TCP connections", where=f"client {self.name}")
        own = self.key if key is None and self._carrying.carries else key or ""
        stated = dict(self._manners.headers) | dict(headers)
        if not {name.lower() for name, _ in self._carrying.headers(own)} & {name.lower() for name in stated}:
            stated |= dict(self._carrying.headers(own))
        if self._manners.app_mints and not own and SET_COOKIE not in stated and not self._knows_application():
            stated |= dict(self._wishes)
        usual = (method, path.partition("?")[0]) == (self._manners.method, self._manners.path.partition("?")[0])
        if not usual and not self._manners.serves_all:
            note = note or ODD  # who answers is judged, and not whether
        with self._manners.patience():
            self.last = self._http.request(
                method, self._carrying.path(path, own), headers=tuple(stated.items()), body=body, chunked=chunked,
                cookie=self._frozen if cookie is None else cookie,
                new_connection=new_connection, timeout=timeout, note=note,
            )  # fmt: skip
        self._carrying.learn(self.last)
        return self.last

    def raw(
        self,
        *,
        through: str | None = None,
        carried: str = "",
        resume: SSLSession | None = None,
        **other: Unpack[Otherwise],
    ) -> RawConnection:
        """A connection of its own, under exact control.

        Args:
            through: the address that it comes from, a proxy's, instead of this user's.
            carried: the address that the PROXY header tells instead of that one.
            resume: the TLS session to go on with.
            other: what of the endpoint is different: ``tls_version``, ``proxy_protocol``, ``host``, ``port``, ``ca``.
        """
        return RawConnection(
            replace(self.endpoint, **other), self._recorder, source=through or self.source, carried=carried,
            resume=resume, timeout=self._manners.timeout, identify=self._identify, way=self.way,
        )  # fmt: skip

    def spoken(self, headers: Sequence[Header] = (), cookies: Sequence[str] | None = None) -> Spoken:
        """The plain request that it would send now, with its key, for whoever sends it in another way."""
        plain = self._manners
        own = (self.cookie_header(),) if cookies is None else cookies
        lines = [*self._headers, *plain.headers, *headers, *(("Cookie", each) for each in own if each)]
        path = plain.path
        if self._carrying.carries:
            lines += self._carrying.headers(self.key)
            path = self._carrying.path(path, self.key)
        return Spoken(plain.method, path, tuple(lines), plain.body or b"")

    def heard(self, exchange: Exchange) -> Exchange:
        """Takes what an answer hands out, however it came."""
        self.last = exchange
        if self.jar is not None and exchange.set_cookies:
            self.jar.store(self.endpoint.base_url + self._manners.path, exchange.set_cookies)
        self._carrying.learn(exchange)
        return exchange

    def over(
        self, connection: RawConnection, *, cookies: Sequence[str] | None = None, headers: Sequence[Header] = (),
        note: str = "",
    ) -> Exchange:  # fmt: skip
        """One plain request on a raw connection, anybody's; cookies go to and come from this user's jar.

        A connection that the peer has ended, as it may after any response, is made anew from the same address.

        Args:
            connection: where to send it.
            cookies: the exact Cookie header lines instead of the jar's.
            headers: further header lines.
            note: a word for the history.
        """
        said = self.spoken(headers, cookies)
        if connection.spent:
            connection.renew()
        with self._manners.patience():
            found = connection.request(self.name, said.method, said.path, said.headers, body=said.body, note=note)
            if found.error in ("closed", "reset") and "of a kept connection" in found.received.detail:
                connection.renew()
                found = connection.request(self.name, said.method, said.path, said.headers, body=said.body, note=note)
        return self.heard(found)

    def plan(self, requests: int = 1, *, headers: Sequence[Header] = (), cookies: bool = False) -> BulkPlan:
        """Plain requests of this user for the bulk client, a new connection for each; with ``cookies`` the jar's."""
        plain = self._manners
        own = self.key if self._carrying.carries else ""
        sent = dict(parse_cookie_headers(self.cookie_header())) if cookies else {}
        known = bool(own) or (bool(sent) and self._knows_application())
        minted = self._wishes if plain.app_mints and not known else self._carrying.headers(own)
        return BulkPlan(
            client=self.name, source=self.source, requests=requests, method=plain.method,
            path=self._carrying.path(plain.path, own),
            headers=(*self._headers, *plain.headers, *minted, *headers), body=plain.body or b"", keep=False,
            cookies=sent, carry=tuple(sent), way=self.way,
        )  # fmt: skip

    def another(
        self,
        *,
        source: str | None = None,
        port: int | None = None,
        tls_version: Literal["", "TLSv1.2", "TLSv1.3"] = "",
        way: Way | None = None,
    ) -> Client:
        """The same user (name, jar) with a further connection.

        Args:
            source: another address to come from.
            port: the port to come from.
            tls_version: the one version of TLS that it speaks; "" for the endpoint's own.
            way: another place to come from.
        """
        endpoint = replace(self.endpoint, tls_version=tls_version) if tls_version else self.endpoint
        twin = Client(
            contract=self.contract, endpoint=endpoint, recorder=self._recorder, name=self.name,
            source=source or self.source, now=self._now, headers=self._headers, manners=self._manners,
            identify=self._identify, cookies=False, carrying=self._carrying, port=port,
            way=way or self.way,
        )  # fmt: skip
        twin.skew = self.skew
        twin.jar = self.jar
        twin._frozen, twin._frozen_key = self._frozen, self._frozen_key
        if twin._http is not None and self._http is not None:
            twin._http.share_jar(self._http)
        return twin

    def issued(self, exchange: Exchange) -> tuple[str, ...]:
        """The affinity cookie values that a response handed out."""
        return issued_by(exchange.received, self.contract)

    def close(self) -> None:
        """Closes its connection; the next request opens a new one."""
        for client in (self._http, self._tcp):
            if client is not None:
                client.close()

    @property
    def _wishes(self) -> tuple[Header, ...]:
        """What the application is told to answer to a user without a session."""
        in_header = self._carrying.wishes()
        return in_header or ((SET_COOKIE, f"{self._application}={{session}}{self._route}; Path=/; HttpOnly"),)

    @property
    def _route(self) -> str:
        """What the application's servers append to a session's id, where the balancer goes by that."""
        mark = self.contract.application.mark if self.contract.application is not None else None
        return f"{mark.separator}{{backend}}" if mark is not None and must(mark.form, "route") else ""

    @property
    def _application(self) -> str:
        application = self.contract.application
        return application.name if application is not None and application.name else ""

    def _knows_application(self) -> bool:
        return any(name == self._application for name, _ in parse_cookie_headers(self.cookie_header()))
