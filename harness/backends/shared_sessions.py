"""Sessions in Redis: all backends of a deployment share them, so that a lost backend loses nobody's login or cart."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

import msgspec
import redis

from limpet.harness.backends.sessions import Session, StoreFault

PATIENCE = 2.0
"""Seconds that the store may take to answer: the backend can do nothing else meanwhile."""
KEPT = 24 * 3600
"""Seconds after its last use at which a session leaves the store."""

T = TypeVar("T")


class RedisSessions:
    """Sessions in a Redis server. Of two changes to one session at the same time the later one stays.

    Args:
        url: of the server, as the client library takes it: ``redis://``, ``rediss://`` or ``unix://``.
        space: the deployment; backends of the same space share their sessions, others never see them.
    """

    def __init__(self, url: str, space: str) -> None:
        """Nothing is connected yet.

        Raises:
            StoreFault: the address makes no sense.
        """
        self._space = space
        try:
            self._redis = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        except ValueError as err:
            raise StoreFault(f"this is no address of a session store: {err}") from err

    def create(self, user: str | None = None) -> Session:
        """A new session with a fresh, unguessable id.

        Raises:
            StoreFault: the store does not answer.
        """
        session = Session(secrets.token_hex(16), user)
        self.put(session)
        return session

    def get(self, session: str) -> Session | None:
        """The session of this id, None when no backend of this space made it.

        Raises:
            StoreFault: the store does not answer, or holds something else there.
        """
        found = _asked(lambda: self._redis.get(self._key(session)))
        if not isinstance(found, bytes):
            return None
        try:
            return msgspec.json.decode(found, type=Session)
        except msgspec.DecodeError as err:
            raise StoreFault(f"the session store holds no session there: {err}") from err

    def put(self, session: Session) -> None:
        """Keep what was changed in this session.

        Raises:
            StoreFault: the store does not answer.
        """
        _asked(lambda: self._redis.set(self._key(session.id), msgspec.json.encode(session), ex=KEPT))

    def _key(self, session: str) -> str:
        return f"limpet:{self._space}:{session}"


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except redis.RedisError as err:
        raise StoreFault(f"the session store does not answer: {err}") from err
