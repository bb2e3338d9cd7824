"""The embedded server's HTTP API: that of Toxiproxy 2, so that its clients can drive it.

Documentation: https://github.com/Shopify/toxiproxy#http-api.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import unquote

import msgspec

import limpet
from limpet.harness.chaos.proxies.proxy import Asked, Proxy, Shown
from limpet.harness.chaos.proxies.toxics import Given, Toxic, Wrong

T = TypeVar("T")
Body = Shown | Toxic | list[Toxic] | dict[str, Shown] | dict[str, list[Shown]] | dict[str, str] | None
Answer = tuple[int, Body]


class Complaint(msgspec.Struct):
    """What an error looks like."""

    error: str
    status: int


class Api:
    """All proxies of one server, and what can be asked of them."""

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and the body for one request."""
        try:
            if headers.get("user-agent", "").startswith("Mozilla/"):
                raise Wrong(403, "User agent not allowed")  # any page that a browser has open could reach this
            status, said = await self._route(method, path, body)
        except Wrong as err:
            return err.status, msgspec.json.encode(Complaint(str(err), err.status))
        return status, b"" if said is None else msgspec.json.encode(said)

    async def close(self) -> None:
        """Ends all proxies."""
        for proxy in self._proxies.values():
            await proxy.disable()

    async def _route(self, method: str, path: str, body: bytes) -> Answer:
        for pattern, methods in self._routes().items():
            match = re.fullmatch(pattern, path.partition("?")[0])
            if match is not None:
                act = methods.get("POST" if method == "PATCH" else method)
                if act is None:
                    raise Wrong(405, f"{method} is not possible here")
                return await act(body, *map(unquote, match.groups()))
        raise Wrong(404, f"no such path: {path}")

    def _routes(self) -> dict[str, dict[str, Callable[..., Awaitable[Answer]]]]:
        one = r"/proxies/([^/]+)"
        return {
            r"/version": {"GET": self._version},
            r"/reset": {"POST": self._reset},
            r"/populate": {"POST": self._populate},
            r"/proxies": {"GET": self._list, "POST": self._create},
            one: {"GET": self._show, "POST": self._update, "DELETE": self._delete},
            one + r"/toxics": {"GET": self._toxics, "POST": self._add},
            one + r"/toxics/([^/]+)": {"GET": self._toxic, "POST": self._change, "DELETE": self._remove},
        }

    async def _version(self, _: bytes) -> Answer:
        return 200, {"version": f"limpet-{limpet.__version__}"}

    async def _reset(self, _: bytes) -> Answer:
        for proxy in self._proxies.values():
            await proxy.reset()
        return 204, None

    async def _list(self, _: bytes) -> Answer:
        return 200, {name: proxy.shown() for name, proxy in self._proxies.items()}

    async def _create(self, body: bytes) -> Answer:
        return 201, (await self._made(_read(body, Asked))).shown()

    async def _populate(self, body: bytes) -> Answer:
        """Those that are asked for, anew where they are others than there are."""
        shown = []
        for asked in _read(body, list[Asked]):
            there = self._proxies.get(asked.name)
            if there is not None and (there.listen, there.upstream) == (asked.listen, asked.upstream):
                await there.update(asked)
            else:
                if there is not None:
                    await there.disable()
                    del self._proxies[asked.name]
                there = await self._made(asked)
            shown.append(there.shown())
        return 201, {"proxies": shown}

    async def _made(self, asked: Asked) -> Proxy:
        if not asked.name:
            raise Wrong(400, "missing required field: name")
        if not asked.upstream:
            raise Wrong(400, "missing required field: upstream")
        if asked.name in self._proxies:
            raise Wrong(409, "proxy already exists")
        proxy = Proxy(asked.name, asked.listen or "127.0.0.1:0", asked.upstream)
        if asked.enabled is not False:
            await proxy.enable()
        self._proxies[asked.name] = proxy
        return proxy

    def _proxy(self, name: str) -> Proxy:
        try:
            return self._proxies[name]
        except KeyError:
            raise Wrong(404, "proxy not found") from None

    async def _show(self, _: bytes, name: str) -> Answer:
        return 200, self._proxy(name).shown()

    async def _update(self, body: bytes, name: str) -> Answer:
        proxy = self._proxy(name)
        await proxy.update(_read(body, Asked))
        return 200, proxy.shown()

    async def _delete(self, _: bytes, name: str) -> Answer:
        await self._proxy(name).disable()
        del self._proxies[name]
        return 204, None

    async def _toxics(self, _: bytes, name: str) -> Answer:
        return 200, list(self._proxy(name).toxics)

    async def _add(self, body: bytes, name: str) -> Answer:
        return 200, self._proxy(name).add(_read(body, Given))

    async def _toxic(self, _: bytes, name: str, toxic: str) -> Answer:
        return 200, self._proxy(name).toxic(toxic)

    async def _change(self, body: bytes, name: str, toxic: str) -> Answer:
        return 200, self._proxy(name).change(toxic, _read(body, Given))

    async def _remove(self, _: bytes, name: str, toxic: str) -> Answer:
        self._proxy(name).remove(toxic)
        return 204, None


def _read(body: bytes, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.DecodeError as err:
        raise Wrong(400, f"bad request body: {err}") from None
