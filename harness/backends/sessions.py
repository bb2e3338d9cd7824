"""What a shop remembers of its visitors. A lost pin is a lost cart, because each backend has its own memory."""

from __future__ import annotations

import secrets
from typing import Protocol

import msgspec


class StoreFault(Exception):
    """The store of sessions does not do its work; the text says why."""


class Session(msgspec.Struct):
    """One visitor: who, what is in the cart, how many requests came with this session."""

    id: str
    user: str | None = None
    cart: list[str] = msgspec.field(default_factory=list)
    visits: int = 0


class SessionStore(Protocol):
    """Where sessions live. A store shared by all backends makes stickiness unnecessary."""

    def create(self, user: str | None = None) -> Session:
        """A new session with a fresh, unguessable id."""

    def get(self, session: str) -> Session | None:
        """The session of this id, None when this store never made it."""

    def put(self, session: Session) -> None:
        """Keep what was changed in this session."""


class MemorySessions:
    """Sessions in the backend's own memory: gone when it dies, unknown to its neighbours."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def create(self, user: str | None = None) -> Session:
        """A new session with a fresh, unguessable id."""
        session = Session(secrets.token_hex(16), user)
        self._sessions[session.id] = session
        return session

    def get(self, session: str) -> Session | None:
        """The session of this id, None when this store never made it."""
        return self._sessions.get(session)

    def put(self, session: Session) -> None:
        """Keep what was changed in this session."""
        self._sessions[session.id] = session
