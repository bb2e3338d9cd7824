"""A backend that runs in a container of its own."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

from limpet.harness.backends.backend import Backend
from limpet.harness.backends.options import BackendOptions
from limpet.harness.containers.berth import Berth

_NOBODY = (errno.EHOSTUNREACH, errno.ENETUNREACH)


class ContainerBackend(Backend):
    """As a backend of limpet's processes, with what only containers can suffer. Made by `ContainerFleet.start`.

    Each method returns when the engine says that it is so. A kill takes the container away: its address then answers
    nothing at all, which the kernel notices after some seconds, where a dead process's port refuses at once.
    """

    def __init__(self, berth: Berth, options: BackendOptions, log: Path) -> None:
        super().__init__(berth, options, log)
        self._berth = berth
        self._away = False
        self._frozen = False

    @property
    def berth(self) -> Berth:
        """Where its container lies."""
        return self._berth

    def hang(self) -> None:
        """Freeze its container: the kernel still accepts connections for it, nobody answers.

        Raises:
            SetupFault: it is dead.
        """
        with self._lock:
            self._pristine = False
            self._berth.pause()
            self._hung = self._frozen = True

    def disconnect(self) -> None:
        """Take it off the network: it runs on and keeps its sessions, its address answers nothing."""
        with self._lock:
            self._pristine = False
            self._berth.disconnect()
            self._away = True

    def revive(self) -> None:
        """Heal whatever was done to it, and return when it answers at its address; see `Backend.revive`."""
        with self._lock:
            if self._frozen:
                self._berth.unpause()
                self._hung = self._frozen = False
            if self._away:
                self._berth.connect()
                self._away = False
            super().revive()

    def end(self, grace: int = 10) -> None:
        """Let it end in an orderly way, as a deployment does; after so many seconds it is killed."""
        with self._lock:
            self._pristine = False
            self._berth.stop(grace)

    def move(self, address: str) -> None:
        """Start it anew at another address of the network: a new instance, which answers when this returns.

        Raises:
            SetupFault: the address is taken, or it did not come up.
        """
        with self._lock:
            self._renew(address, self._berth.image)

    def replace(self, image: str, address: str = "") -> None:
        """Another version in its place: ended in an orderly way, then started from another image, as deployments do.

        Args:
            image: what it is made of from now on.
            address: another one; "" keeps its own.

        Raises:
            SetupFault: there is no such image, or it did not come up.
        """
        with self._lock:
            self.end()
            self._renew(address or self.host, image)

    def _renew(self, address: str, image: str) -> None:
        self._pristine = False
        self._hung = self._frozen = self._away = False
        self.stop()
        self._berth.address, self._berth.image = address, image
        self._options = replace(self._options, host=address)
        self.launch()

    def _refuses(self) -> bool:
        try:
            return super()._refuses()
        except OSError as err:
            if err.errno in _NOBODY:
                return True
            raise
