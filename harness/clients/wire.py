"""HTTP/1 responses from bytes: no sockets, no clock. Strict enough to name what is malformed, lenient about bare LF.

Source: RFC 9112 sections 2 to 7 (message syntax, body length, chunked coding).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Literal

from limpet.harness.model.history import Header

MAX_HEAD = 256 * 1024
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?: (.*))?")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING_SIZES = tuple(map(len, ("connection", "transfer-encoding", "content-length")))
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")

State = Literal["head", "fixed", "chunk-size", "chunk-data", "chunk-end", "trailers", "until-close", "done"]


class Malformed(ValueError):
    """The bytes are no HTTP/1 response; the message says where."""


def parse_fields(lines: Sequence[bytes]) -> list[Header]:
    """Header lines (without their line ends) as (name, value) pairs in order, decoded as latin-1.

    Raises:
        Malformed: a line has no colon, or its name is no token.
    """
    fields: list[Header] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:  # obsolete folding: one value over several lines
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip().decode('latin-1')}".strip())
            continue
        raw_name, colon, raw_value = line.partition(b":")
        name = _token(raw_name)
        if not colon or not name:
            raise Malformed(f"bad header line {line[:80]!r}")
        fields.append((name, raw_value.strip(b" \t").decode("latin-1")))
    return fields


@functools.lru_cache(maxsize=1024)
def _token(raw: bytes) -> str:
    """The name of a field, "" when it is none."""
    return raw.decode("ascii") if _TOKEN.fullmatch(raw) else ""


class ResponseParser:
    """One response. Feed bytes until ``done``; ``rest`` then holds what belongs to the next one.

    Args:
        method: of the request that it answers: a response to HEAD has no body.
    """

    def __init__(self, method: str = "GET") -> None:
        self.method = method
        self.state: State = "head"
        self.version = ""
        self.status = 0
        self.reason = ""
        self.headers: list[Header] = []
        self.trailers: list[Header] = []
        self.interim: list[int] = []
        self.keep_alive = False
        self._buffer = bytearray()
        self._body = bytearray()
        self._left = 0
        self._lines: list[bytes] = []
        self._seen = 0

    @property
    def done(self) -> bool:
        """The response is complete."""
        return self.state == "done"

    @property
    def started(self) -> bool:
        """At least one byte has arrived."""
        return self._seen > 0

    @property
    def body(self) -> bytes:
        """What has arrived of the body, chunked coding removed."""
        return bytes(self._body)

    @property
    def body_bytes(self) -> int:
        """How many bytes of the body have arrived."""
        return len(self._body)

    @property
    def rest(self) -> bytes:
        """Bytes behind the end of this response."""
        return bytes(self._buffer) if self.done else b""

    def feed(self, data: bytes) -> None:
        """Take in bytes.

        Raises:
            Malformed: they are no HTTP/1 response.
        """
        self._seen += len(data)
        self._buffer += data
        while not self.done and self._step():
            pass

    def eof(self) -> None:
        """The peer has closed: completes a body that ends with the connection.

        Raises:
            EOFError: the response is not complete.
        """
        if self.state == "until-close":
            self.state = "done"
        elif not self.done:
            where = (
                "before any byte of a response" if not self.started else f"in the middle of a response ({self.state})"
            )
            raise EOFError(f"connection closed {where}")

    def _step(self) -> bool:
        """Do what the buffer allows; False when more bytes are needed."""
        match self.state:
            case "head":
                return self._head_line()
            case "fixed" | "chunk-data":
                return self._take()
            case "chunk-size":
                return self._chunk_size()
            case "chunk-end":
                line = self._line()
                if line:
                    raise Malformed(f"chunk is longer than its size says: {line[:40]!r}")
                if line is not None:
                    self.state = "chunk-size"
                return line is not None
            case "trailers":
                return self._trailer()
            case _:
                self._body += self._buffer
                self._buffer.clear()
                return False

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0 or end > MAX_HEAD:
            if len(self._buffer) > MAX_HEAD:
                raise Malformed(f"a line of more than {MAX_HEAD} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _head_line(self) -> bool:
        end = -1 if self._lines else self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end > 0:  # nearly every head comes in one piece
            lines = bytes(self._buffer[:end]).replace(b"\r\n", b"\n").split(b"\n")
            if _STATUS_LINE.fullmatch(lines[0]) and b"" not in lines:
                del self._buffer[: end + 4]
                self._head(lines)
                return True
        line = self._line()
        if line is None:
            if not self._lines and self._buffer and not b"HTTP/".startswith(self._buffer[:5]):
                raise Malformed(f"no status line: {bytes(self._buffer[:40])!r}")
            return False
        if not self._lines and not _STATUS_LINE.fullmatch(line):
            raise Malformed(f"no status line: {line[:80]!r}")
        if line:
            self._lines.append(line)
            if sum(map(len, self._lines)) > MAX_HEAD:
                raise Malformed(f"a head of more than {MAX_HEAD} bytes")
            return True
        self._head(self._lines)
        return True

    def _head(self, lines: list[bytes]) -> None:
        found = _STATUS_LINE.fullmatch(lines[0])
        assert found is not None
        self.headers = parse_fields(lines[1:])  # first: a head that is malformed has no status either
        self.version, self.status = found[1].decode(), int(found[2])
        self.reason = (found[3] or b"").decode("latin-1")
        self._lines = []
        if 100 <= self.status < 200 and self.status != 101:
            self.interim.append(self.status)
            self.status, self.headers = 0, []
            return
        self._framing()

    def _framing(self) -> None:
        found: dict[str, list[str]] = {"connection": [], "transfer-encoding": [], "content-length": []}
        for key, value in self.headers:
            values = found.get(key.lower()) if len(key) in _FRAMING_SIZES else None
            if values is not None:
                values += [part.strip().lower() for part in value.split(",")]
        connection, codings, lengths = found["connection"], found["transfer-encoding"], set(found["content-length"])
        self.keep_alive = "close" not in connection and (self.version == "1.1" or "keep-alive" in connection)
        if self.method == "HEAD" or self.status in (101, 204, 304):
            self.state = "done"
        elif codings:
            self.state = "chunk-size" if codings[-1] == "chunked" else "until-close"
        elif not lengths:
            self.state = "until-close"
        elif len(lengths) > 1 or not re.fullmatch("[0-9]{1,18}", next(iter(lengths))):
            raise Malformed(f"bad Content-Length {sorted(lengths)}")
        else:
            self._left = int(lengths.pop())
            self.state = "fixed" if self._left else "done"
        if self.state == "until-close" or self.status == 101:
            self.keep_alive = False

    def _take(self) -> bool:
        piece = self._buffer[: self._left]
        del self._buffer[: self._left]
        self._body += piece
        self._left -= len(piece)
        if self._left:
            return False
        self.state = "done" if self.state == "fixed" else "chunk-end"
        return True

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        found = _CHUNK.fullmatch(line)
        if not found:
            raise Malformed(f"bad chunk size {line[:40]!r}")
        self._left = int(found[1], 16)
        self.state = "chunk-data" if self._left else "trailers"
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            self._lines.append(line)
        else:
            self.trailers = parse_fields(self._lines)
            self.state = "done"
        return True
