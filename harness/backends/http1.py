"""HTTP/1.1 of the backend: keep-alive, pipelining in order, chunks, HEAD, Expect: 100-continue, HTTP/1.0."""

from __future__ import annotations

import httptools

from limpet.harness.backends import shop
from limpet.harness.backends.connection import Connection
from limpet.harness.backends.request import KEPT_BODY, HttpRequest, RawHeader, Steering
from limpet.harness.backends.response import render
from limpet.harness.backends.state import BackendState
from limpet.harness.backends.websocket import BINARY, CLOSE, PING, PONG, TEXT, BadFrame, FrameReader, accept
from limpet.harness.backends.websocket import render as render_frame

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
        self._frames: FrameReader | None = None

    def read(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP gets 400 and the end."""
        if self._frames is not None:
            self._converse(self._frames, data)
            return
        while data and not self._last:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as err:
                data = data[err.args[0] :]
                if self._upgraded():
                    self.read(data)
                    return
                # No upgrade that this server knows: it answered in HTTP/1.1, and what follows is the next request.
                self._parser = httptools.HttpRequestParser(self)
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
        elif request.wants_web_socket and not wish.status:
            self._switch(shop.serve(state, request, id, self.peer, wish), request)
        elif wish.events:
            self._stream(shop.serve(state, request, id, self.peer, wish), wish, chunked=request.version == "1.1")
        else:
            self._reply(shop.serve(state, request, id, self.peer, wish), request, wish)

    def _upgraded(self) -> bool:
        return self._frames is not None

    def _switch(self, reply: shop.Reply, request: HttpRequest) -> None:
        """Agree to the upgrade; cookies and identity as in any other answer."""
        own = [(name, value) for name, value in reply.headers if name.lower() not in ("content-type", "cache-control")]
        own += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        own.append(("Sec-WebSocket-Accept", accept(request.header("sec-websocket-key"))))
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in own), "", ""]
        self.answer("\r\n".join(lines).encode("latin-1", "replace"))
        self._frames = FrameReader()

    def _converse(self, frames: FrameReader, data: bytes) -> None:
        """To each message: who this is, and the message."""
        try:
            for frame in frames.feed(data):
                if frame.opcode == CLOSE:
                    self.answer(render_frame(CLOSE, frame.payload), close=True)
                elif frame.opcode == PING:
                    self.answer(render_frame(PONG, frame.payload))
                elif frame.opcode in (TEXT, BINARY):
                    who = f"{self.state.options.name} {self.state.instance} ".encode()
                    self.answer(render_frame(TEXT, who + frame.payload))
        except BadFrame:
            self.answer(b"", close=True)

    def _stream(self, reply: shop.Reply, wish: Steering, *, chunked: bool) -> None:
        """Server-sent events, each of which says who sends it; to HTTP/1.0, as many proxies speak, until close."""
        kept = [(name, value) for name, value in reply.headers if name.lower() != "content-type"]
        kept += [("Content-Type", "text/event-stream")]
        kept += [("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")]
        self._last = not chunked
        lines = [f"HTTP/1.1 {reply.status} OK", *(f"{name}: {value}" for name, value in kept), "", ""]
        self.answer("\r\n".join(lines).encode("latin-1", "replace"), hold=wish.hold)
        for number in range(wish.events):
            event = f"id: {number}\ndata: {self.state.options.name} {self.state.instance}\n\n".encode()
            framed = b"%x\r\n%b\r\n" % (len(event), event) if chunked else event
            self.answer(framed, hold=wish.hold + wish.pause * number)
        self.answer(b"0\r\n\r\n" if chunked else b"", close=not chunked)

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
