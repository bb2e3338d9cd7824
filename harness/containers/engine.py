"""The adapter of the `docker` SDK: nothing else in limpet imports it, and it is imported only when it is used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from limpet.harness.model.errors import SetupFault

PATIENCE = 60
"""Seconds that the engine may take for one answer."""
INSTALL = "start one (systemctl start docker; Debian: apt install docker.io), or say where it is in DOCKER_HOST"


@dataclass(frozen=True)
class State:
    """A container as the engine sees it now.

    Attributes:
        id: its own, never used again.
        status: created, running, paused, restarting, removing, exited or dead.
        pid: of its first process as this machine sees it; 0 where none runs.
        exit_code: of its last end.
        finished: when that was, as the engine writes it.
        health: healthy, unhealthy or starting; "" where it has no health check.
        addresses: one for each network by its name; "" while it has none there.
        ports: the TCP ports that its image or its maker names.
        labels: what is written on it.
    """

    id: str
    status: str
    pid: int
    exit_code: int
    finished: str
    health: str
    addresses: Mapping[str, str]
    ports: Sequence[int]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """A container to be made.

    Attributes:
        name: unique in the engine.
        image: which must be there: nothing is pulled.
        command: what runs in it.
        network: the only one that it is on.
        address: its own there.
        labels: what is written on it.
        folders: of this machine, at the same place in the container.
        env: added to the image's environment.
    """

    name: str
    image: str
    command: Sequence[str]
    network: str
    address: str
    labels: Mapping[str, str]
    folders: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """A Docker engine of this machine. Every method raises `SetupFault` when the engine refuses, with its own words.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Reach it, as the environment says (DOCKER_HOST and its relatives).

        Raises:
            SetupFault: there is none, or this user may not.
        """
        import docker
        from docker.errors import DockerException

        try:
            self._client: Any = docker.from_env(timeout=PATIENCE)
            self._client.ping()
        except (DockerException, OSError) as err:
            raise SetupFault(f"no container engine answers: {_unreached(err)}", do=INSTALL) from None
        self.version = str(self._client.version().get("Version", ""))

    def state(self, container: str) -> State | None:
        """A container by its name or id; None when there is none."""
        with _asking(container):
            from docker.errors import NotFound

            try:
                return _state(self._client.api.inspect_container(container))
            except NotFound:
                return None

    def has_image(self, image: str) -> bool:
        """Whether the image is there."""
        with _asking(image):
            from docker.errors import ImageNotFound

            try:
                self._client.api.inspect_image(image)
            except ImageNotFound:
                return False
            return True

    def create(self, wanted: Wanted) -> str:
        """Make a container that does not run yet; returns its id."""
        with _asking(wanted.name):
            api = self._client.api
            networking = {wanted.network: api.create_endpoint_config(ipv4_address=wanted.address)}
            made = self._client.containers.create(
                wanted.image,
                list(wanted.command),
                entrypoint=[],
                name=wanted.name,
                environment=dict(wanted.env),
                labels=dict(wanted.labels),
                network=wanted.network,
                networking_config=networking,
                volumes={folder: {"bind": folder, "mode": "rw"} for folder in wanted.folders},
                stop_signal="SIGINT",
                cap_drop=["ALL"],
                user=f"{os.getuid()}:{os.getgid()}",  # so that its files are this user's
                security_opt=["no-new-privileges"],
                detach=True,
            )
            return str(made.id)

    def start(self, container: str) -> None:
        """Start it; nothing happens where it runs."""
        with _asking(container):
            self._client.api.start(container)

    def kill(self, container: str, signal: int | str = "SIGKILL") -> None:
        """Send a signal to its first process."""
        with _asking(container):
            self._client.api.kill(container, signal)

    def stop(self, container: str, grace: int) -> None:
        """Its stop signal, and after so many seconds SIGKILL."""
        with _asking(container):
            self._client.api.stop(container, timeout=grace)

    def pause(self, container: str) -> None:
        """Freeze all of its processes."""
        with _asking(container):
            self._client.api.pause(container)

    def unpause(self, container: str) -> None:
        """Let them go on."""
        with _asking(container):
            self._client.api.unpause(container)

    def remove(self, container: str) -> None:
        """End it and take it away; nothing happens where it is gone."""
        with _asking(container):
            from docker.errors import APIError, NotFound

            try:
                self._client.api.remove_container(container, force=True, v=True)
            except NotFound:
                return
            except APIError as err:
                if err.status_code != 409:  # somebody else is removing it
                    raise

    def connect(self, container: str, network: str, address: str) -> None:
        """Give it an address on a network."""
        with _asking(container):
            self._client.api.connect_container_to_network(container, network, ipv4_address=address)

    def disconnect(self, container: str, network: str) -> None:
        """Take it off a network, at once."""
        with _asking(container):
            self._client.api.disconnect_container_from_network(container, network, force=True)

    def logs(self, container: str, lines: int = 12) -> str:
        """The last lines that it wrote, "" where it is gone."""
        with contextlib.suppress(SetupFault), _asking(container):
            written: bytes = self._client.api.logs(container, tail=lines)
            return written.decode("utf-8", "replace").strip()
        return ""

    def make_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        """Make a bridge without a way out; False where another network of the engine has such addresses."""
        from docker.errors import APIError
        from docker.types import IPAMConfig, IPAMPool

        with _asking(name):
            try:
                pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
                self._client.networks.create(name, driver="bridge", internal=True, ipam=pool, labels=dict(labels))
            except APIError as err:
                if "overlap" in str(err).lower():
                    return False
                raise
            return True

    def remove_network(self, network: str) -> None:
        """Take it away; nothing happens where it is gone."""
        from docker.errors import NotFound

        with _asking(network), contextlib.suppress(NotFound):
            self._client.api.remove_network(network)

    def containers(self, label: str) -> dict[str, Mapping[str, str]]:
        """The labels of every container that has this one, by id; those that do not run too."""
        with _asking("containers"):
            found = self._client.api.containers(all=True, filters={"label": label})
            return {str(each["Id"]): each.get("Labels") or {} for each in found}

    def networks(self, label: str) -> dict[str, Mapping[str, str]]:
        """The labels of every network that has this one, by id."""
        with _asking("networks"):
            found = self._client.api.networks(filters={"label": label})
            return {str(each["Id"]): each.get("Labels") or {} for each in found}

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def missing() -> str:
    """Why no engine can be used, with what to do; "" where one can. Asked once: it does not come and go in a run."""
    return _missing()


@lru_cache(maxsize=1)
def _missing() -> str:
    try:
        Engine().close()
    except SetupFault as fault:
        return fault.reason
    return ""


def _state(raw: dict[str, Any]) -> State:
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    config = raw.get("Config") or {}
    exposed = [port.split("/")[0] for port in config.get("ExposedPorts") or {} if port.endswith("/tcp")]
    state = raw["State"]
    return State(
        id=str(raw["Id"]),
        status=str(state["Status"]),
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        finished=str(state.get("FinishedAt") or ""),
        health=str((state.get("Health") or {}).get("Status", "")),
        addresses={str(name): str(each.get("IPAddress") or "") for name, each in networks.items()},
        ports=tuple(sorted(int(port) for port in exposed)),
        labels=config.get("Labels") or {},
    )


@contextlib.contextmanager
def _asking(where: str) -> Iterator[None]:
    """Turns what the SDK raises into a fault for people."""
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, OSError) as err:
        raise SetupFault(f"the container engine refuses: {_said(err)}", where=where) from None


def _unreached(err: Exception) -> str:
    """What is wrong with its socket; the SDK wraps that into three exceptions."""
    inner: BaseException | None = err
    while inner is not None and not isinstance(inner, FileNotFoundError | PermissionError | ConnectionRefusedError):
        inner = inner.__context__
    if isinstance(inner, PermissionError):
        return "this user may not use its socket (on Debian the group docker may)"
    return (inner.strerror or "") if inner is not None else _said(err)


def _said(err: Exception) -> str:
    explanation = getattr(err, "explanation", None)
    text = explanation if isinstance(explanation, str) and explanation else str(err)
    return " ".join(text.split())
