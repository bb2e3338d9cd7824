"""Affinity keys that travel in a header or in the URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import unquote_to_bytes

from limpet.reference_lb.parts.key_readers import AddressMask, ApplicationKey, NoKey
from limpet.reference_lb.parts.records import Issued, RequestHead, ResponseHead

TLS_SESSION = ":tls-session"
"""Under this name a session id of TLS stands among the headers of a connection, which has no others."""


class HeaderKey(NoKey):
    """The value of a header, with the blanks around it cut off; of several lines each that is not empty.

    Args:
        name: the header; its case does not matter.
        minted: responses hand keys out by a header of the same name.
        mask: ties pins to the client's masked address (None: they are not tied).
    """

    def __init__(self, name: str, *, minted: bool = False, mask: AddressMask | None = None) -> None:
        self._name = name.lower().encode()
        self._minted = minted
        self._mask = mask

    def read(self, request: RequestHead) -> Sequence[str]:
        """Every value, in order."""
        return self._of(request.values(self._name))

    def source(self, request: RequestHead) -> str:
        """The masked address, when pins are tied to it."""
        return self._mask(request.source) if self._mask is not None else ""

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        """The response's values of the header."""
        if not self._minted:
            return ()
        lines = [value for name, value in response.headers if name.lower() == self._name]
        return [Issued(key, ended=False) for key in self._of(lines)]

    def _of(self, lines: Sequence[bytes]) -> list[str]:
        return [value.decode("latin-1") for line in lines if (value := line.strip(b" \t"))]


class UrlKey(NoKey):
    """A session id in the request target: path parameters first (each segment's, from left to right), then the query.

    Names are compared byte for byte, escapes are undone, an empty id is none.

    Args:
        path_parameter: name of the path parameter ("" for none).
        query: name of the query parameter ("" for none).
        application: the application's cookie that holds the same id, when it counts for anything.
        minted: the application hands ids out by that cookie.
        cookie: what the cookie in a request counts: nothing, after the URL's ids, or before them.
        mask: ties pins to the client's masked address (None: they are not tied).
    """

    def __init__(
        self,
        path_parameter: str = "",
        query: str = "",
        *,
        application: ApplicationKey | None = None,
        minted: bool = False,
        cookie: Literal["unread", "after", "before"] = "unread",
        mask: AddressMask | None = None,
    ) -> None:
        self._path_parameter = path_parameter.encode()
        self._query = query.encode()
        self._application = application
        self._minted = minted
        self._cookie = cookie
        self._mask = mask

    def read(self, request: RequestHead) -> Sequence[str]:
        """Every id, the one that counts most first."""
        found = [value.decode("latin-1") for value in self.ids(request.target)]
        if self._application is None or self._cookie == "unread":
            return found
        cookies = list(self._application.read(request))
        return cookies + found if self._cookie == "before" else found + cookies

    def ids(self, target: bytes) -> Iterator[bytes]:
        """The ids in a request target."""
        path, _, query = target.partition(b"#")[0].partition(b"?")
        if self._path_parameter:
            for segment in path.split(b"/"):
                yield from _values(segment.split(b";")[1:], self._path_parameter)
        if self._query:
            yield from _values(query.split(b"&"), self._query)

    def source(self, request: RequestHead) -> str:
        """The masked address, when pins are tied to it."""
        return self._mask(request.source) if self._mask is not None else ""

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        """What the application's cookie says, where ids are learned from it."""
        return self._application.issued(response) if self._application is not None and self._minted else ()


def _values(parameters: Sequence[bytes], name: bytes) -> Iterator[bytes]:
    for parameter in parameters:
        key, _, value = parameter.partition(b"=")
        if value and unquote_to_bytes(key) == name:
            yield unquote_to_bytes(value)
