"""Starting a balancer's process and knowing that it serves."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import netns
from limpet.harness.processes.clocks import ENTRY, shifted
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Role
from limpet.harness.processes.process import Process
from limpet.harness.targets import certificate, steps
from limpet.harness.targets.answers import Unanswered, accepts, command_answer, http_answer
from limpet.harness.targets.model import Launch, Target
from limpet.harness.targets.placeholders import fill

NO_HOST = "it changes the network of the host that it runs on, and needs one of a lab's (--network namespace)"
"""Why a balancer that does so is not started anywhere else."""

LOOK = 2.0
SAYS_VERSION = 10.0
"""Seconds that a program may take to say its version."""
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*(?:[-+][0-9A-Za-z.]+)?")


class Entry(Protocol):
    """What replaces the entry of a forked balancer."""

    @property
    def entry(self) -> str:
        """``module:function``."""

    @property
    def before(self) -> tuple[str, ...]:
        """Arguments before the target's own."""

    @property
    def after(self) -> tuple[str, ...]:
        """Arguments after the target's own."""


def check_free(host: str, port: int, *, name: str, namespace: str = "") -> None:
    """See that an address can be bound: else "ready" might be somebody else's answer.

    Raises:
        SetupFault: it is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with netns.inside(namespace), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Two sockets may bind the same address with SO_REUSEADDR; only one of them can listen.
            probe.listen(1)
        except OSError as err:
            raise SetupFault(
                f"{host}:{port} cannot be used: {err.strerror}",
                where=name,
                do=f"See who has it: ss -ltnp 'sport = :{port}'",
            ) from None


def role(how: Launch | None, ipv6: bool) -> Role:
    """What kind of place a balancer needs. What must have a host for itself listens on an IPv4 address there."""
    if how is not None and how.own_host:
        return "balancer-alone"
    return "balancer-v6" if ipv6 else "balancer"


def launch(
    how: Launch,
    values: Mapping[str, str],
    keeper: Keeper,
    *,
    output: Path,
    workdir: Path,
    name: str,
    override: Entry | None,
    namespace: str = "",
    ahead: float = 0.0,
) -> Process:
    """Start the process; ``ahead``: its machine seems to run for so many seconds longer than this one.

    Raises:
        SetupFault: it cannot be started, or not on this network, or an override meets a target that runs a command.
    """
    if how.own_host and not namespace:
        raise SetupFault(NO_HOST, where=name)
    env = {key: fill(value, values, where=name) for key, value in how.env.items()}
    if how.certificate:
        certificate.place(workdir / how.certificate, values["balancer.host"])
    if how.python:
        args = [fill(word, values, where=name) for word in how.args]
        entry = how.python
        if override is not None:
            entry, args = override.entry, [*override.before, *args, *override.after]
        if ahead:
            argv = shifted([sys.executable, "-P", "-c", ENTRY, entry, *args], ahead)
            env = {**os.environ, **env}
            return keeper.spawn(argv, output=output, env=env, cwd=workdir, name=name, namespace=namespace)
        return keeper.fork(entry, args, output=output, name=name, env=env, namespace=namespace)
    if override is not None:
        raise SetupFault("only a balancer that limpet forks (launch.python) can be made faulty", where=name)
    argv = [fill(word, values, where=name) for word in how.command]
    argv = shifted(argv, ahead) if ahead else argv
    env = {**os.environ, **env}
    return keeper.spawn(argv, output=output, env=env, cwd=workdir, name=name, namespace=namespace)


def wait_ready(balancer: steps.Balancer, how: Launch, address: str) -> None:
    """Wait until it serves.

    Raises:
        SetupFault: it ended, or did not become ready in time; with its own last output.
    """
    deadline = time.monotonic() + how.ready_timeout
    pause = 0.003
    while True:
        late = time.monotonic() >= deadline
        died = balancer.died()
        with netns.inside(balancer.namespace):
            seen = "" if died else _not_ready(balancer, how, address)
        if died:
            raise steps.ended(balancer)
        if not seen:
            return
        if late:
            what = f"the balancer was not ready after {how.ready_timeout:g} s: {seen}"
            raise steps.fault(balancer, what, where=balancer.name)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _not_ready(balancer: steps.Balancer, how: Launch, address: str) -> str:
    """What is missing, "" when it is ready."""
    if how.ready.startswith("log:"):
        pattern = how.ready[4:]
        return "" if re.search(pattern, balancer.output(), re.MULTILINE) else f"no line matches {pattern!r}"
    if how.ready == "tcp":
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or 80
        return "" if accepts(host, port, timeout=LOOK) else f"{host}:{port} does not accept connections"
    try:
        answer = http_answer("GET", address, body="", headers={}, timeout=LOOK, verify=False)
    except Unanswered as err:
        return str(err)
    wanted = how.ready.partition(":")[2]
    return "" if not wanted or answer.code == int(wanted) else f"{address} answers {answer}, not {wanted}"


def check_answers(target: Target, host: str, port: int, address: str, *, name: str, ca: str = "") -> None:
    """See that a balancer that is said to run does answer, or does so within the time that its target gives it.

    Raises:
        SetupFault: nothing answers, or not in the protocol that the target says.
    """
    deadline = time.monotonic() + target.endpoint.wait
    while True:
        late = time.monotonic() >= deadline
        try:
            _check_answers(target, host, port, address, name=name, ca=ca)
            return
        except SetupFault:
            if late:
                raise
        time.sleep(min(LOOK / 4, max(0.0, deadline - time.monotonic())))


def _check_answers(target: Target, host: str, port: int, address: str, *, name: str, ca: str) -> None:
    do = "Is it running, and is [endpoint] right?"
    if target.backends.protocol == "udp":
        return  # whether anybody listens is only seen by what the backends answer
    if target.backends.protocol == "tcp":
        if not accepts(host, port, timeout=5.0):
            raise SetupFault(f"nothing accepts connections at {host}:{port}", where=name, do=do)
        return
    asked = target.request
    try:
        http_answer(
            asked.method,
            f"{address}{asked.path}",
            body=asked.body,
            headers=asked.headers,
            timeout=10.0,
            verify=target.endpoint.verify,
            ca=ca,
        )
    except Unanswered as err:
        if "CERTIFICATE_VERIFY_FAILED" in str(err):
            do = "Name its CA, or its own certificate, in [endpoint] ca; or say verify = false to take any."
        raise SetupFault(f"the balancer does not answer: {err}", where=name, do=do) from None


def version(target: Target, values: Mapping[str, str], *, cwd: Path, name: str) -> str:
    """The version of a balancer as the target says to find it out; "" when it cannot be known."""
    if target.launch is None or not target.launch.version:
        return ""
    how = target.launch.version
    if isinstance(how, str):
        return fill(how, values, where=name)
    try:
        answer = command_answer([fill(word, values, where=name) for word in how], cwd=cwd, timeout=SAYS_VERSION)
    except Unanswered:
        return ""
    return version_in(answer.text)


def version_in(text: str) -> str:
    """The first version in what a program says; "" where there is none."""
    found = _VERSION.search(text)
    return found[0] if found else ""
