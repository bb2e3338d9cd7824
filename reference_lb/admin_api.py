"""The admin API without its connections: a method, a path and a body in, a status and JSON out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from limpet.reference_lb.parts.protocols import HealthView
from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.service import Service
from limpet.reference_lb.settings.load import check_members
from limpet.reference_lb.settings.problems import ConfigError

Json = dict[str, "Json"] | list["Json"] | str | float | bool | None


class Reply(NamedTuple):
    """What is answered."""

    status: int
    body: Json


class _Wrong(Exception):
    """The body is not what this call wants; the message says what is."""


class AdminApi:
    """Answers when the change has taken effect."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._calls: dict[str, dict[str, Callable[[bytes], Awaitable[Reply]]]] = {
            "/v1/state": {"GET": self._state},
            "/v1/health": {"GET": self._health},
            "/v1/members": {"PUT": self._members},
            "/v1/affinity": {"PUT": self._affinity},
            "/v1/reload": {"POST": self._reload},
            "/v1/clock/advance": {"POST": self._advance},
            "/v1/keys/rotate": {"POST": self._rotate},
        }

    async def call(self, method: str, path: str, body: bytes) -> Reply:
        """One call."""
        methods = self._calls.get(path)
        if methods is None:
            return _error(404, f"no such path; there are {', '.join(self._calls)}")
        if method not in methods:
            return _error(405, f"{path} takes {', '.join(methods)}")
        try:
            return await methods[method](body)
        except _Wrong as wrong:
            return _error(400, str(wrong))
        except ConfigError as error:
            problems: list[Json] = [{"key": p.key, "problem": p.text} for p in error.problems]
            return Reply(422, {"error": str(error), "problems": problems})

    async def _state(self, _: bytes) -> Reply:
        return Reply(200, self._shown())

    async def _health(self, _: bytes) -> Reply:
        parts = self._service.site.parts
        healthy = sum(parts.health_view.healthy(member) for member in parts.pool.members())
        return Reply(200, {"status": "ok", "healthy_members": healthy})

    async def _members(self, body: bytes) -> Reply:
        await self._service.set_members(check_members(_json(body), groups=self._service.groups))
        return Reply(200, self._shown())

    async def _affinity(self, body: bytes) -> Reply:
        enabled = _field(body, "enabled")
        if not isinstance(enabled, bool):
            raise _Wrong('{"enabled": true} or {"enabled": false} is wanted')
        await self._service.set_affinity(enabled)
        return Reply(200, self._shown())

    async def _reload(self, _: bytes) -> Reply:
        await self._service.reload()
        return Reply(200, self._shown())

    async def _advance(self, body: bytes) -> Reply:
        seconds = _field(body, "seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 1e10:
            raise _Wrong('{"seconds": N} is wanted, N a number that is not negative: the clock cannot go back')
        await self._service.advance_clock(seconds)
        return Reply(200, self._shown())

    async def _rotate(self, _: bytes) -> Reply:
        await self._service.rotate_keys()
        return Reply(200, self._shown())

    def _shown(self) -> Json:
        parts = self._service.site.parts
        members: list[Json] = [_member(member, parts.health_view) for member in parts.pool.members()]
        return {
            "name": self._service.name,
            "generation": self._service.generation,
            "members": members,
            "affinity": {"enabled": parts.switch.enabled},
            "bindings": parts.binding_store.count(),
            "clock": {"now": parts.clock.now(), "offset": parts.clock.offset},
        }


def _member(member: Member, view: HealthView) -> Json:
    shown: dict[str, Json] = {
        "name": member.name,
        "host": member.host,
        "port": member.port,
        "weight": member.weight,
        "drain": member.drain,
        "healthy": view.healthy(member),
        "in_flight": member.in_flight,
    }
    if member.servers:
        shown["servers"] = [_server(each, view) for each in member.servers]
    return shown


def _server(server: Member, view: HealthView) -> Json:
    return {"host": server.host, "port": server.port, "up": view.healthy(server)}


def _error(status: int, text: str) -> Reply:
    return Reply(status, {"error": text})


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except ValueError as error:
        raise _Wrong(f"the body is no JSON: {error}") from error
    return value


def _field(body: bytes, name: str) -> object:
    value = _json(body)
    if not isinstance(value, dict) or set(value) != {name}:
        raise _Wrong(f'an object with the one key "{name}" is wanted')
    field: object = value[name]
    return field
