"""The TLS session of one simulated user, shared by all of the user's connections."""

from __future__ import annotations

import ssl


class TlsSessions:
    """Offers the session of before, and keeps the one that the server named last (TLS 1.2, by its id)."""

    def __init__(self) -> None:
        self._session: ssl.SSLSession | None = None
        self._frozen = False

    @property
    def offered(self) -> ssl.SSLSession | None:
        """What the next connection goes on with."""
        return self._session

    @property
    def id(self) -> str:
        """Its id in hexadecimal digits, "" without one."""
        return self._session.id.hex() if self._session is not None else ""

    def keep(self, session: ssl.SSLSession | None) -> None:
        """Takes what a handshake ended with."""
        if not self._frozen and session is not None:
            self._session = session

    def freeze(self) -> None:
        """From now on offers the session of this moment for ever."""
        self._frozen = True
