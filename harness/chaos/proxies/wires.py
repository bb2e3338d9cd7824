"""Wires made of fault proxies: one server for each deployment, with a proxy before each of its backends."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from limpet.harness.chaos.proxies.client import Client
from limpet.harness.engine.wires import Impairment, WireMaker
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease
from limpet.harness.processes.process import Process
from limpet.harness.processes.waiting import wait_until

Made = Literal["embedded", "toxiproxy"]
"""What fault proxies can be made of."""
KINDS: tuple[Made, ...] = get_args(Made)

ENTRY = "limpet.harness.chaos.proxies.main:main"
PROGRAM = "LIMPET_TOXIPROXY"
"""The environment variable that names Toxiproxy's server where it is not on PATH, or called otherwise."""
_NAMES = ("toxiproxy-server", "toxiproxy")
_PATIENCE = 30.0
_BOTH = ("upstream", "downstream")
_DOWN = ("downstream",)

_TOXICS: Mapping[Impairment, tuple[str, tuple[str, ...]]] = {
    "latency": ("latency", _DOWN),
    "jitter": ("latency", _DOWN),
    "bandwidth": ("bandwidth", _DOWN),
    "slow-close": ("slow_close", _DOWN),
    "cut": ("limit_data", _DOWN),
    "partition": ("timeout", _BOTH),
}


def attributes(kind: Impairment, value: float) -> dict[str, int]:
    """The toxic's attributes for an impairment of this value."""
    milliseconds = round(value * 1000)
    match kind:
        case "latency":
            return {"latency": milliseconds, "jitter": 0}
        case "jitter":  # from 0 to the value: half of it, more or less
            return {"latency": milliseconds // 2, "jitter": milliseconds // 2}
        case "bandwidth":
            return {"rate": max(1, round(value))}
        case "slow-close":
            return {"delay": milliseconds}
        case "cut":
            return {"bytes": max(1, round(value))}
        case "partition":
            return {"timeout": 0}
        case "link-down" | "one-way":
            raise HarnessFault(f"{kind} is a fault of a link, not of a proxy")


class ProxyWire:
    """The way to one backend, through a proxy."""

    def __init__(self, client: Client, name: str, host: str, port: int) -> None:
        self._client = client
        self._name = name
        self._host = host
        self._port = port

    @property
    def host(self) -> str:
        """Where the proxy listens."""
        return self._host

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        return self._port

    def impair(self, kind: Impairment, value: float) -> None:
        """See `Wire.impair`."""
        toxic, streams = _TOXICS[kind]
        for stream in streams:
            self._client.add(self._name, f"{kind}-{stream}", toxic, stream, attributes(kind, value))

    def mend(self, kind: Impairment) -> None:
        """See `Wire.mend`."""
        for stream in _TOXICS[kind][1]:
            self._client.remove(self._name, f"{kind}-{stream}")

    def shut(self) -> None:
        """See `Wire.shut`."""
        self._client.enable(self._name, False)

    def open(self) -> None:
        """See `Wire.open`."""
        self._client.enable(self._name, True)


class ProxyWires:
    """All wires of one deployment.

    Args:
        process: the server; it ends with the run at the latest.
        client: of its API.
        lease: where addresses come from.
        made_of: what it is called.
    """

    def __init__(self, process: Process, client: Client, lease: Lease, made_of: str) -> None:
        self._process = process
        self._client = client
        self._lease = lease
        self._made_of = made_of

    @property
    def made_of(self) -> str:
        """Its name, with its version."""
        return self._made_of

    @property
    def kinds(self) -> tuple[Impairment, ...]:
        """All that can happen at a proxy."""
        return tuple(_TOXICS)

    def lay(self, name: str, host: str, port: int) -> ProxyWire:
        """See `Wires.lay`."""
        seat = self._lease.seat("backend")
        upstream = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._client.create(name, f"{seat.host}:{seat.port}", upstream)
        return ProxyWire(self._client, name, seat.host, seat.port)

    def close(self) -> None:
        """Ends the server, and with it every proxy. Idempotent."""
        self._client.close()
        self._process.end()


def embedded(keeper: Keeper, lease: Lease, directory: Path) -> ProxyWires:
    """Wires made of limpet's own proxies: nothing to install.

    Raises:
        SetupFault: the server did not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    seat = lease.seat("admin")
    host, port = seat.host, seat.port
    process = keeper.fork(ENTRY, [f"{host}:{port}"], output=directory / "proxies.log", name="fault proxies")
    return _ready(process, host, port, lease, "limpet's fault proxies")


def toxiproxy(keeper: Keeper, lease: Lease, directory: Path) -> ProxyWires:
    """Wires made of Toxiproxy.

    Raises:
        SetupFault: it is not on this machine, or did not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    seat = lease.seat("admin")
    host, port = seat.host, seat.port
    argv = [program(), "-host", host, "-port", str(port)]
    process = keeper.spawn(argv, output=directory / "toxiproxy.log", name="toxiproxy")
    return _ready(process, host, port, lease, "toxiproxy")


def program() -> str:
    """Toxiproxy's server on this machine.

    Raises:
        SetupFault: there is none.
    """
    named = os.environ.get(PROGRAM)
    wanted = (named,) if named else _NAMES
    # `make toxiproxy` puts it beside the interpreter, which need not be on PATH.
    places = (None, str(Path(sys.executable).parent))
    found = next(filter(None, (shutil.which(name, path=place) for place in places for name in wanted)), None)
    if found is None:
        what = f"{PROGRAM} names {named}, which is no program" if named else f"none of {', '.join(_NAMES)} is on PATH"
        raise SetupFault(
            what,
            where="toxiproxy",
            do="Install Toxiproxy's server (in a checkout with Go: make toxiproxy), say where it is in "
            "LIMPET_TOXIPROXY, or do without: --proxies embedded",
        )
    return found


def lacking(made_of: Made) -> str:
    """Why no fault proxies can be made of this here, with what to do; "" where they can."""
    if made_of == "toxiproxy":
        try:
            program()
        except SetupFault as fault:
            return f"{fault.reason}. {fault.do}"
    return ""


MAKERS: Mapping[str, WireMaker] = {"embedded": embedded, "toxiproxy": toxiproxy}


def _ready(process: Process, host: str, port: int, lease: Lease, what: str) -> ProxyWires:
    client = Client(host, port, what)

    def answers() -> str:
        if not process.alive():
            raise SetupFault(f"{what} ended while starting", where=f"{host}:{port}", do=process.last_lines())
        return _version_or_not_yet(client)

    try:
        version = wait_until(answers, timeout=_PATIENCE, what=f"{what} to answer")
    except BaseException:
        process.end()
        raise
    return ProxyWires(process, client, lease, f"{what} {version}")


def _version_or_not_yet(client: Client) -> str:
    try:
        return client.version()
    except SetupFault as err:
        raise OSError(err.what) from err
