"""The one placeholder syntax of commands, addresses and steps: ``{balancer.port}``.

``{{name}}`` stands for a literal ``{name}``; ``${NAME}`` and braces around anything but a dotted name are left alone,
so that shell and JSON can be written as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from limpet.harness.model.contract.validation import nearest
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.control import Step
from limpet.harness.targets.model import Target

_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_][\w.]*)\}\}|(?<![$\\])\{([A-Za-z_][\w.]*)\}")

BACKEND = frozenset({"backend.name", "backend.host", "backend.port"})
_ALWAYS = frozenset(
    {
        "balancer.host",
        "balancer.port",
        "balancer.authority",
        "balancer.url",
        "workdir",
        "python",
        "target",
        "generation",
        "limpet.version",
    }
)
_LAUNCHED = frozenset({"admin.host", "admin.port", "admin.authority", "admin.url", "token", "config", "pid"})


def fill(text: str, values: Mapping[str, str], *, where: str, pattern: bool = False) -> str:
    """``text`` with every placeholder replaced; in a ``pattern`` the values are escaped for a regular expression.

    Raises:
        UsageFault: a placeholder that has no value here, with the valid ones.
    """

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return f"{{{match[1]}}}"
        if match[2] not in values:
            raise UsageFault(f"unknown placeholder {{{match[2]}}}; {nearest(match[2], values)}", where=where)
        return re.escape(values[match[2]]) if pattern else values[match[2]]

    return _PLACEHOLDER.sub(one, text)


def fill_known(text: str, values: Mapping[str, str]) -> str:
    """``text`` with the placeholders replaced that have a value here; the others are left as they are written."""
    return _PLACEHOLDER.sub(lambda match: f"{{{match[1]}}}" if match[1] else values.get(match[2], match[0]), text)


def used(text: str) -> Iterator[str]:
    """The placeholders in a text."""
    return (match[2] for match in _PLACEHOLDER.finditer(text) if match[2])


def general(target: Target) -> frozenset[str]:
    """What every command and step of a target may name."""
    options = {f"options.{name}" for name in target.options}
    if target.launch is None:
        return _ALWAYS | options
    binary = {target.launch.binary.name} if target.launch.binary else set()
    return _ALWAYS | _LAUNCHED | options | binary


def problems(target: Target) -> list[str]:
    """Every unknown placeholder of a target, each with its key and the nearest valid one."""
    known = general(target)
    return list(dict.fromkeys(_unknown(_texts(target, known))))


def _unknown(texts: Iterable[tuple[str, str, frozenset[str]]]) -> Iterator[str]:
    for key, text, valid in texts:
        for name in used(text):
            if name not in valid:
                yield f"{key}: unknown placeholder {{{name}}}; {nearest(name, valid)}"


def _texts(target: Target, known: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    if (launch := target.launch) is not None:
        version = (launch.version,) if isinstance(launch.version, str) else launch.version
        for key, words in (("command", launch.command), ("args", launch.args), ("version", version)):
            yield from ((f"launch.{key}", word, known) for word in words)
        yield from ((f"launch.env.{name}", text, known) for name, text in launch.env.items())
        yield "launch.ready_url", launch.ready_url, known
    yield "endpoint.ca", target.endpoint.ca, known
    for verb, steps in verbs(target):
        extra = {"seconds"} if verb == "control.advance_clock" else frozenset[str]()
        if verb.startswith("backends") or verb.startswith("control.noticed"):
            extra = BACKEND
        for number, step in enumerate(steps):
            yield from ((f"{verb}[{number}]", text, known | extra) for text in _of_step(step))


def verbs(target: Target) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Every list of steps of a target with its key."""
    control = target.control
    for name in ("apply", "reload", "change", "affinity_on", "affinity_off", "advance_clock", "rotate_keys", "settled"):
        yield f"control.{name}", getattr(control, name)
    if not isinstance(control.restart, str):
        yield "control.restart", control.restart
    for name in ("noticed_down", "noticed_up", "nodes_agree"):
        step: Step | None = getattr(control, name)
        if step is not None:
            yield f"control.{name}", (step,)
    if target.fingerprint is not None:
        yield "fingerprint.state", target.fingerprint.state
    for name in ("kill", "hang", "revive"):
        yield f"backends.{name}", getattr(target.backends, name)
        for number, member in enumerate(target.backends.member):
            yield f"backends.member[{number}].{name}", getattr(member, name)


def _of_step(step: Step) -> Iterator[str]:
    yield from step.exec
    yield from step.headers.values()
    yield from (step.http, step.body, step.socket, step.send, step.until, step.log, step.to)
