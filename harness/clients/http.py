"""The readable client: one user with a session, a cookie jar, a browser's headers and a source address."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from limpet.harness.clients.base import (
    REQUEST_HEADER,
    CookieJar,
    Endpoint,
    Exchange,
    Failure,
    Identify,
    Recorder,
    by_headers,
    record_received,
)
from limpet.harness.clients.sockets import blame
from limpet.harness.clients.transport import TARGET_ERRORS, Wire, WireAdapter
from limpet.harness.clients.way import STRAIGHT, Way
from limpet.harness.model.errors import HarnessFault, LimpetFault
from limpet.harness.model.history import Header, Sent

MAX_BODY = 64 * 1024 * 1024
_SET_COOKIE_SIZE = len("set-cookie")
_FRAMING = ("content-length", "transfer-encoding")
_FRAMING_SIZES = tuple(map(len, _FRAMING))
_TARGET = re.compile(r"[!-~]+")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN = re.compile(r"[\r\n\0]|^[ \t]|[ \t]$")


class _NoJar(RequestsCookieJar):
    """Stores nothing: cookies are the business of limpet's own jar."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Ignore the response's cookies."""


_NO_JAR = _NoJar()


class _Session(requests.Session):
    """A session without an opinion: no redirects (not even a look at Location), no environment, no own headers.

    It has the one adapter that it is given. What ``requests.Session`` prepares besides (adapters with pools, default
    headers, a jar) is most of the cost of a new user, and nobody would use it.
    """

    def __init__(self, prefix: str, adapter: WireAdapter) -> None:
        self.headers = CaseInsensitiveDict()
        self.auth = None
        self.proxies = {}
        self.hooks = {"response": []}
        self.params = {}
        self.stream = True
        self.verify = True
        self.cert = None
        self.max_redirects = 0
        self.trust_env = False
        self.cookies = _NO_JAR
        self.adapters = OrderedDict([(prefix, adapter)])
        self._only = adapter

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        """Sends it as it is: all that ``requests`` does around that is switched off here, and not free."""
        return self._only.send(request)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never: a redirect is a response like any other."""


class HttpClient:
    """One simulated user. Not for several threads at once: each takes its own ``another()``.

    Args:
        endpoint: the balancer.
        recorder: where the history goes.
        name: who this is, in the history and the report.
        source: local address to come from, None for the kernel's choice.
        jar: keeps the cookies; None for a client that drops them all.
        headers: sent with every request (a persona's browser and language).
        timeout: seconds that a whole exchange may take, connecting included.
        identify: how to tell from a response which backend gave it.
        keep: keep the connection between requests; False opens a new one for each.
        way: what is between it and the balancer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        recorder: Recorder,
        *,
        name: str,
        source: str | None = None,
        jar: CookieJar | None = None,
        headers: Sequence[Header] = (),
        timeout: float = 10.0,
        identify: Identify = by_headers,
        keep: bool = True,
        way: Way = STRAIGHT,
    ) -> None:
        self.endpoint = endpoint
        self.name = name
        self.source = source
        self.jar = jar
        self.headers = tuple(headers)
        self.timeout = timeout
        self.keep = keep
        self._recorder = recorder
        self._identify = identify
        self._jar_lock = threading.Lock()
        self._way = way
        self._adapter = WireAdapter(endpoint, source, way)
        self._session = _Session(f"{endpoint.scheme}://", self._adapter)

    def another(self) -> HttpClient:
        """The same user (name, address, jar, headers) with a further connection, for requests at the same time."""
        twin = HttpClient(
            self.endpoint,
            self._recorder,
            name=self.name,
            source=self.source,
            jar=self.jar,
            headers=self.headers,
            timeout=self.timeout,
            identify=self._identify,
            keep=self.keep,
            way=self._way,
        )
        twin._jar_lock = self._jar_lock
        return twin

    def share_jar(self, other: HttpClient) -> None:
        """Use another client's jar from now on, also while that one uses it."""
        self.jar, self._jar_lock = other.jar, other._jar_lock

    def get(self, path: str = "/", *, headers: Sequence[Header] = (), cookie: str | None = None) -> Exchange:
        """GET."""
        return self.request("GET", path, headers=headers, cookie=cookie)

    def head(self, path: str = "/", *, headers: Sequence[Header] = (), cookie: str | None = None) -> Exchange:
        """HEAD."""
        return self.request("HEAD", path, headers=headers, cookie=cookie)

    def post(
        self, path: str = "/", body: bytes = b"", *, headers: Sequence[Header] = (), chunked: bool = False
    ) -> Exchange:
        """POST."""
        return self.request("POST", path, headers=headers, body=body, chunked=chunked)

    def put(
        self, path: str = "/", body: bytes = b"", *, headers: Sequence[Header] = (), chunked: bool = False
    ) -> Exchange:
        """PUT."""
        return self.request("PUT", path, headers=headers, body=body, chunked=chunked)

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
    ) -> Exchange:
        """Send one request and read its whole response; cookies are taken from and put into the jar.

        Args:
            method: HTTP method.
            path: request target, sent as it is.
            headers: further headers; one of the same name as a client's header replaces it.
            body: request body.
            chunked: send the body in chunks instead of with a Content-Length.
            cookie: the raw ``Cookie`` header instead of the jar's, "" for none.
            new_connection: close a kept connection first.
            timeout: seconds for this exchange, None for the client's.
            note: a word for the history.

        Raises:
            SetupFault: this machine cannot send.
            HarnessFault: the scenario asks for what only ``RawConnection`` can send.
        """
        if new_connection or not self.keep:
            self._adapter.close()
        identity = self._recorder.request_id()
        prepared = self._prepare(method, path, self._stated(method, path, identity, headers, cookie), body, chunked)
        sent: list[Sent] = []

        def on_sent(wire: Wire, at: float) -> None:
            record = Sent(
                id=identity,
                t=at,
                client=self.name,
                connection=wire.id,
                source=wire.seen.address,
                method=wire.method,
                path=wire.target,
                headers=tuple(wire.lines),
                offset=self._recorder.offset(),
                port=wire.seen.port,
                note=note,
                bound=wire.seen.bound,
            )
            sent.append(record)
            self._recorder.add(record)

        wire = self._adapter.wire
        wire.on_sent = on_sent
        wire.deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        error: Failure = ""
        detail = ""
        try:
            self._session.send(prepared)
            self._store(path, self._adapter.parser.headers)
            self._adapter.read_body(MAX_BODY)
        except TARGET_ERRORS as err:
            if not sent:  # not even tried: none of the target's doing
                self._adapter.close()
                raise
            error, detail = blame(err)
            if wire.requests > 1:
                detail = f"{detail}; request {wire.requests} of a kept connection"
        except LimpetFault:
            self._adapter.close()
            raise
        arrived = time.monotonic()
        parser = self._adapter.parser
        if error or not self.keep or parser.status == 101:
            self._adapter.close()
        return record_received(
            self._recorder,
            sent[0],
            status=parser.status,
            headers=parser.headers,
            body=parser.body,
            error=error,
            detail=detail,
            identify=self._identify,
            arrived=arrived,
        )

    def close(self) -> None:
        """Close the connection; the client may be used again and then opens a new one."""
        self._adapter.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, path: str, fields: Sequence[Header]) -> None:
        lines = [value for name, value in fields if len(name) == _SET_COOKIE_SIZE and name.lower() == "set-cookie"]
        if lines and self.jar is not None:
            with self._jar_lock:
                self.jar.store(self.endpoint.base_url + path, lines)

    def _stated(
        self, method: str, path: str, identity: str, headers: Sequence[Header], cookie: str | None
    ) -> list[Header]:
        """Every header of the request, in the order it is sent, but for those that frame its body."""
        own = {name.lower() for name, _ in headers}
        stated: list[Header] = [("Host", self.endpoint.authority)] if "host" not in own else []
        stated += [(name, value) for name, value in self.headers if name.lower() not in own]
        stated += headers
        names = [name.lower() for name, _ in stated]
        if "accept-encoding" not in names:
            stated.append(("Accept-Encoding", "identity"))
            names.append("accept-encoding")
        if cookie is None and self.jar is not None and "cookie" not in names:
            with self._jar_lock:
                cookie = self.jar.header(self.endpoint.base_url + path, method=method)
        if cookie:
            stated.append(("Cookie", cookie))
            names.append("cookie")
        stated.append((REQUEST_HEADER, identity))
        names.append(REQUEST_HEADER.lower())
        for name, value in stated:
            if not _is_name(name) or _FORBIDDEN.search(value):
                raise HarnessFault(f"header {name!r}: {value!r} needs a RawConnection", where=f"client {self.name}")
        if len(set(names)) < len(names):
            raise HarnessFault("a header twice needs a RawConnection", where=f"client {self.name}")
        return [(name, value if value.isascii() else _latin(value)) for name, value in stated]

    def _prepare(
        self, method: str, path: str, headers: list[Header], body: bytes | None, chunked: bool
    ) -> requests.PreparedRequest:
        if not _TARGET.fullmatch(path) or not path.startswith("/"):
            raise HarnessFault(f"path {path!r} needs a RawConnection", where=f"client {self.name}")
        # Step by step and not by the session: nothing is to be merged in, and requests would tidy the address.
        prepared = requests.PreparedRequest()
        prepared.prepare_method(method)
        prepared.url = self.endpoint.base_url + path
        # No name stands twice (see `_stated`); only where `requests` may have to replace one must it look without case.
        framed = any(len(name) in _FRAMING_SIZES and name.lower() in _FRAMING for name, _ in headers)
        prepared.headers = CaseInsensitiveDict(headers) if framed else dict(headers)  # type: ignore[assignment]
        prepared._cookies = self._session.cookies  # type: ignore[attr-defined]
        if chunked:
            pieces = [body[: len(body) // 2], body[len(body) // 2 :]] if body else [b""]
            prepared.prepare_body(iter(pieces), None)
        else:
            prepared.prepare_body(body, None)
        return prepared


@functools.lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _latin(value: str) -> str:
    """The value as text that latin-1 can carry: what goes beyond is sent as UTF-8."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8").decode("latin-1")
    return value
