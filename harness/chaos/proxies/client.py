"""The port to toxiproxy-python, which drives Toxiproxy and the embedded server alike.

That library keeps the server's address in a class that all of its objects share, waits for ever, goes through whatever
HTTP proxy the environment names, and takes answers of 500 for good ones. Here its consumer is another one as long as a
call lasts, one call at a time; between two calls it is as its author left it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

import requests

from limpet.harness.model.errors import SetupFault

T = TypeVar("T")

_TIMEOUT = 20.0
_turn = threading.Lock()


class Client:
    """One server of Toxiproxy's HTTP API.

    Args:
        host: its address.
        port: its port.
        what: how to call it in messages.
    """

    def __init__(self, host: str, port: int, what: str) -> None:
        self._host = host
        self._port = port
        self._what = what
        self._session = requests.Session()
        self._session.trust_env = False

    def version(self) -> str:
        """What it says that it is.

        Raises:
            SetupFault: it does not answer.
        """

        def ask() -> str:
            from toxiproxy import Toxiproxy

            said = Toxiproxy().version()
            if said is None:
                raise requests.ConnectionError("it does not answer")
            return str(json.loads(said)["version"])

        return self._call("version", ask)

    def create(self, name: str, listen: str, upstream: str) -> None:
        """A proxy.

        Raises:
            SetupFault: it cannot be.
        """

        def ask() -> None:
            from toxiproxy import Toxiproxy

            Toxiproxy().create(upstream, name, listen)

        self._call(f"create {name}", ask)

    def add(self, proxy: str, name: str, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        """A toxic of a proxy, in the place of one of the same name.

        Raises:
            SetupFault: it cannot be.
        """

        def ask() -> None:
            from toxiproxy.exceptions import NotFound

            one = self._proxy(proxy)
            with suppress(NotFound):  # there need be none
                one.destroy_toxic(name)
            one.add_toxic(name=name, type=kind, stream=stream, attributes=dict(attributes))

        self._call(f"{name} of {proxy}", ask)

    def remove(self, proxy: str, name: str) -> None:
        """The end of a toxic; nothing where there is none.

        Raises:
            SetupFault: it does not obey.
        """

        def ask() -> None:
            from toxiproxy.exceptions import NotFound

            with suppress(NotFound):
                self._proxy(proxy).destroy_toxic(name)

        self._call(f"end of {name} of {proxy}", ask)

    def enable(self, proxy: str, enabled: bool) -> None:
        """Lets a proxy accept connections, or refuse them.

        Raises:
            SetupFault: it does not obey.
        """

        def ask() -> None:
            one = self._proxy(proxy)
            (one.enable if enabled else one.disable)()

        self._call(f"{'enable' if enabled else 'disable'} {proxy}", ask)

    def _proxy(self, name: str) -> _Proxy:
        """Without asking the server, which would be a request more for each command."""
        from toxiproxy import Proxy

        found: _Proxy = Proxy(name=name, upstream="", enabled=True, listen="")
        return found

    def _call(self, what: str, ask: Callable[[], T]) -> T:
        from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

        try:
            with _turn, self._consumer():
                return ask()
        except (requests.RequestException, InvalidToxic, NotFound, ProxyExists, ValueError, KeyError) as err:
            said = err.args[0] if err.args else err
            text = said.decode(errors="replace").strip() if isinstance(said, bytes) else str(said)
            raise SetupFault(f"{what}: {text}", where=f"{self._what} at {self._host}:{self._port}") from err

    @contextmanager
    def _consumer(self) -> Iterator[None]:
        from toxiproxy.api import APIConsumer, validate_response

        def asks(method: str) -> classmethod[object, [str], object]:
            def send(_: object, url: str, **more: object) -> object:
                address = f"http://{self._host}:{self._port}{url}"
                answer = self._session.request(method, address, timeout=_TIMEOUT, **more)  # type: ignore[arg-type]
                if answer.status_code >= 500:
                    raise requests.HTTPError(answer.text.strip() or f"status {answer.status_code}")
                return validate_response(answer)

            return classmethod(send)

        ours = {"host": self._host, "port": self._port, **{each: asks(each) for each in ("get", "post", "delete")}}
        before = {name: APIConsumer.__dict__[name] for name in ours}
        try:
            for name, value in ours.items():
                setattr(APIConsumer, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(APIConsumer, name, value)

    def close(self) -> None:
        """No more calls."""
        self._session.close()


class _Proxy(Protocol):
    """What is used of toxiproxy.Proxy, which has no types."""

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def destroy_toxic(self, toxic_name: str) -> bool: ...

    def add_toxic(self, **kwargs: object) -> None: ...
