"""A transport adapter for ``requests`` that hides nothing: one connection, exact header lines, no retry, no pool.

``requests`` lets an adapter be replaced; this one drives a single ``urllib3`` connection itself, so that a client
knows which TCP connection carried a request, what was sent on it, and what the target did to it.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import requests
import urllib3.connection
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.util import SKIP_HEADER

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sockets import Stream, connection_id, local_name, open_stream
from limpet.harness.clients.wire import Malformed, parse_fields
from limpet.harness.model.history import Header

OnSent = Callable[["Wire", float], None]


class _HeadReader:
    """The lines of a response head on their way to ``http.client``, which would take a torn head for a whole one."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self.stream = stream
        self.lines: list[bytes] = []

    def readline(self, limit: int = -1) -> bytes:
        """The next line, its end included."""
        line = self.stream.readline(limit)
        if not line.endswith(b"\n") and len(line) != limit:
            raise EOFError(
                f"connection closed {'in the middle of' if self.lines or line else 'before'} a response head"
            )
        self.lines.append(line.rstrip(b"\r\n"))
        return line

    def close(self) -> None:
        """Close the stream beneath."""
        self.stream.close()


class _Response(http.client.HTTPResponse):
    """A response that keeps its header lines as they came and passes over every interim (1xx) response."""

    fields: list[Header]

    def begin(self) -> None:
        """Read the head of the final response."""
        self.fields = []
        stream = self.fp
        while True:
            reader = _HeadReader(stream)
            self.fp = cast("io.BufferedReader", reader)
            try:
                super().begin()
            finally:
                if self.fp is not None:  # None: begin() has closed it
                    self.fp = stream
            lines = reader.lines
            # http.client itself passes over "100 Continue": its lines stand before those of the final head.
            while b"" in lines[:-1]:
                lines = lines[lines.index(b"") + 1 :]
            self.fields = parse_fields(lines[1:-1])
            if not 100 <= self.status < 200 or self.status == 101:
                return
            self.headers = self.msg = cast("Any", None)  # so that begin() reads another head


class Wire(urllib3.connection.HTTPConnection):
    """One connection at a time to one endpoint; reconnects only when nothing of a request has been sent."""

    def __init__(self, endpoint: Endpoint, source: str | None) -> None:
        super().__init__(endpoint.host, endpoint.port)
        self.endpoint = endpoint
        self.from_address = source
        self.deadline = 0.0
        self.on_sent: OnSent | None = None
        self.id = ""
        self.requests = 0
        self.local: tuple[str, int] = (source or "", 0)
        self.method = self.target = ""
        self.lines: list[Header] = []
        self._answer: _Response | None = None
        self.response_class = self._make_response  # type: ignore[assignment]  # http.client only ever calls it

    @property
    def fields(self) -> list[Header]:
        """The header lines of the latest response, in order."""
        return self._answer.fields if self._answer is not None else []

    def _make_response(self, *args: Any, **kwargs: Any) -> _Response:
        self._answer = _Response(*args, **kwargs)
        return self._answer

    def connect(self) -> None:
        """Open a new connection with an id of its own."""
        self.id, self.requests = connection_id(), 0
        self.local = (self.from_address or "", 0)
        stream: Stream = open_stream(self.endpoint, source=self.from_address, deadline=self.deadline)
        self.sock = stream
        self.local = local_name(stream)

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        """Begin a request; notes its method and target."""
        self.method, self.target, self.lines = method, url, []
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)

    def putheader(self, header: str, *values: str) -> None:  # type: ignore[override]  # urllib3's own signature
        """Add a header line; notes it."""
        if SKIP_HEADER not in values:
            self.lines.append((header, ", ".join(str(value) for value in values)))
        super().putheader(header, *values)

    def endheaders(self, message_body: object = None, *, encode_chunked: bool = False) -> None:
        """Send the head: connects first, so that what is recorded before the first byte has the real port."""
        begun = time.monotonic()
        assert self.on_sent is not None
        if self.sock is None:
            try:
                self.connect()
            except OSError:
                self.on_sent(self, begun)
                raise
        cast("Stream", self.sock).deadline = self.deadline
        self.requests += 1
        self.on_sent(self, time.monotonic())
        super().endheaders(cast("Any", message_body), encode_chunked=encode_chunked)


class WireAdapter(BaseAdapter):
    """Carries the requests of one session over one ``Wire``."""

    def __init__(self, endpoint: Endpoint, source: str | None) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.wire = Wire(endpoint, source)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: object = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and read the head of its response; the body is left to be read from ``response.raw``.

        Raises:
            SetupFault: this machine cannot send.
            OSError, EOFError, http.client.HTTPException, Malformed: what the target did, as it was met.
        """
        wire = self.wire
        if wire.sock is not None and not wire.is_connected:
            wire.close()  # the server closed the kept connection while it was idle; nothing has been sent on it yet
        target = (request.url or "").removeprefix(self.endpoint.base_url)
        headers = {str(name): str(value) for name, value in request.headers.items()}
        if "User-Agent" not in request.headers:
            headers["User-Agent"] = SKIP_HEADER
        try:
            wire.request(
                request.method or "GET",
                target,
                body=cast("Any", request.body),
                headers=headers,
                chunked=not (request.body is None or "Content-Length" in request.headers),
                preload_content=False,
                decode_content=False,
            )
        except (BrokenPipeError, ConnectionResetError):
            if wire.sock is None:
                raise
            # The server may have answered before it closed (a 413, say): its response is still to be read.
        raw = wire.getresponse()
        return self._response(request, raw)

    def _response(self, request: requests.PreparedRequest, raw: urllib3.response.HTTPResponse) -> requests.Response:
        response = requests.Response()
        response.status_code = raw.status
        response.headers = CaseInsensitiveDict(raw.headers)
        response.raw = raw
        response.reason = raw.reason or ""
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Close the connection (FIN)."""
        self.wire.close()


def origin(err: BaseException) -> BaseException:
    """What lies beneath the wrappings of urllib3 and http.client: the socket's error, EOFError or Malformed."""
    while isinstance(err, urllib3.exceptions.HTTPError) and not isinstance(err, http.client.IncompleteRead):
        beneath = err.__cause__ or err.__context__
        if beneath is None:
            break
        err = beneath
    if isinstance(err, http.client.IncompleteRead):
        cause = err.__context__
        while isinstance(cause, http.client.IncompleteRead):
            cause = cause.__context__
        # http.client calls a chunk size that is no number an incomplete read, too; b'' is the end of the stream.
        if isinstance(cause, ValueError) and not str(cause).endswith("b''"):
            return Malformed(f"bad chunk size: {cause}")
        return EOFError(f"connection closed in the middle of the body: {err}")
    return err


TARGET_ERRORS = (OSError, EOFError, Malformed, http.client.HTTPException, urllib3.exceptions.HTTPError)
