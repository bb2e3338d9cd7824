"""HTTP/1.1 of the backend: keep-alive, pipelining in order, chunks, HEAD, Expect: 100-continue, HTTP/1.0."""

from __future__ import annotations

import httptools

from limpet.harness.backends import shop
from limpet.harness.backends.connection import Connection
from limpet.harness.backends.request import KEPT_BODY, HttpRequest, RawHeader, Steering
from limpet.harness.backends.response import render
from limpet.harness.backends.state import BackendState

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection(Connection):
    """Parses requests as they come, records each when it is whole, answers in order."""

    def __init__(self, state: BackendState) -> None:
        super().__init__(state)
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[RawHeader] = []
        self._request: HttpRequest | None = None
        self._expected = False
        self._last = False

    def read(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP gets 400 and the end."""
        while data and not self._last:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as err:
                # This server upgrades to nothing: it answered in HTTP/1.1, and what follows is the next request.
                self._parser = httptools.HttpRequestParser(self)
                data = data[err.args[0] :]
            except httptools.HttpParserError as err:
                if not self._last:
                    self._reply(shop.plain(self.state, 400, f"no HTTP/1.1 request: {err}"), None)
                return

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._target = b""
        self._headers = []
        self._request = None

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers of a chunked body come here too, and are left out."""
        if self._request is None:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = self._parser
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers)
        request = HttpRequest(
            parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            parser.get_http_version(),
            headers,
            parser.should_keep_alive(),
        )
        self._request = request
        if request.version == "1.1" and request.header("expect").lower() == "100-continue":
            self._expected = True
            if self.idle:
                self.answered()

    def answered(self) -> None:
        """Whoever waits for leave to send a body gets it now, after everything that was asked before."""
        if self._expected:
            self._expected = False
            self.answer(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        request = self._request
        if request is not None:
            self._expected = False
            request.body_bytes += len(body)
            if request.body_bytes <= KEPT_BODY:
                request.body += body

    def on_message_complete(self) -> None:
        """The request is whole: record it, then answer it."""
        request = self._request
        if request is None or self._last:
            return
        self._expected = False
        path, state = request.path, self.state
        if path == state.options.health_path:
            self._reply(shop.health(state), request)
        elif path.startswith("/_limpet/"):
            self._reply(shop.private(state, request), request)
        else:
            self._visit(request)

    def _visit(self, request: HttpRequest) -> None:
        state = self.state
        id = request.header("limpet-request") or state.next_request()
        state.arrived(
            id,
            self,
            method=request.method,
            path=request.target,
            headers=request.headers,
            body_bytes=request.body_bytes,
        )
        wish = request.steering()
        if wish.error:
            self._reply(shop.plain(state, 400, f"this header makes no sense: {wish.error}", id), request)
        else:
            self._reply(shop.serve(state, request, id, self.peer, wish), request, wish)

    def _reply(self, reply: shop.Reply, request: HttpRequest | None, wish: Steering | None = None) -> None:
        hold, chunked, close = (wish.hold, wish.chunked, wish.close) if wish else (0.0, False, False)
        keep = request is not None and request.keep_alive and not close
        method, version = (request.method, request.version) if request else ("GET", "1.1")
        self._last = not keep
        data = render(
            reply.status,
            reply.headers,
            reply.body,
            method=method,
            version=version,
            chunked=chunked,
            keep_alive=keep,
        )
        self.answer(data, hold=hold, close=not keep)
