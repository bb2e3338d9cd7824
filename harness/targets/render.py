"""Renders a target's templates (Jinja2, strict: a variable that does not exist is an error, never an empty text)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from pydantic import BaseModel

from limpet.harness.model.contract import Contract, Stated
from limpet.harness.model.contract.durations import spoken
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.model import Target
from limpet.harness.targets.placeholders import verbs


@dataclass(frozen=True)
class Server:
    """One server of a group."""

    host: str
    port: int


@dataclass(frozen=True)
class Member:
    """A backend as the balancer shall know it. ``drain``: pinned clients only. ``servers``: all of a group's."""

    name: str
    host: str
    port: int
    weight: int = 1
    drain: bool = False
    servers: tuple[Server, ...] = ()

    def __post_init__(self) -> None:
        if not self.servers:  # who is no group is one server
            object.__setattr__(self, "servers", (Server(self.host, self.port),))


@dataclass(frozen=True)
class Address:
    """``balancer`` and ``admin`` in templates."""

    host: str
    port: int
    url: str

    @property
    def authority(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def named(self, name: str) -> dict[str, str]:
        """As placeholders that begin with this name."""
        parts = {"host": self.host, "port": str(self.port), "authority": self.authority, "url": self.url}
        return {f"{name}.{key}": value for key, value in parts.items()}


@dataclass(frozen=True)
class Situation:
    """What templates may name, besides ``contract`` (see `chosen`), ``options`` and ``euid``.

    ``token`` is a password for an admin API, ``secret`` 32 random bytes in base64; both stay the same over restarts.
    ``node`` counts the balancers that are set up as nodes of one, from 1, and ``shared`` is a directory that all of
    them have (by default the work directory).
    """

    balancer: Address
    admin: Address
    token: str
    secret: str
    workdir: Path
    python: str
    generation: int
    members: Sequence[Member]
    affinity_enabled: bool
    node: int = 1
    shared: Path | None = None


def chosen(part: BaseModel) -> dict[str, object]:
    """A contract as templates see it: of every field the first value that is allowed, None where nothing is stated.

    ``duration`` has ``seconds`` (the chosen or default duration) and ``text`` (the same, written as ``"20m"``) besides.
    """
    result: dict[str, object] = {}
    for name in type(part).model_fields:
        result[name] = _plain(getattr(part, name))
    if isinstance(part, Contract):
        duration = part.duration
        seconds = duration.value
        if seconds is None and duration.default is not None:
            seconds = duration.default.allowed[0]
        inner = result["duration"]
        assert isinstance(inner, dict)
        inner |= {"seconds": seconds, "text": None if seconds is None else spoken(seconds)}
    return result


def _plain(value: object) -> object:
    if isinstance(value, Stated):
        return value.allowed[0]
    if isinstance(value, BaseModel):
        return chosen(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def render(
    directory: Path,
    template: str,
    situation: Situation,
    contract: Contract,
    options: Mapping[str, str | int | float | bool],
) -> str:
    """The text of a template of a target.

    Raises:
        UsageFault: missing, not Jinja, or it names something that does not exist; with file and line.
    """
    environment = _environment(directory)
    names = {
        **{field: getattr(situation, field) for field in Situation.__dataclass_fields__},
        "workdir": str(situation.workdir),
        "shared": str(situation.shared or situation.workdir),
        "contract": chosen(contract),
        "options": dict(options),
        "euid": os.geteuid(),
    }
    try:
        return environment.get_template(template).render(names)
    except jinja2.TemplateNotFound as err:
        raise UsageFault(f'there is no template "{err.name}"', where=str(directory)) from None
    except jinja2.TemplateSyntaxError as err:
        raise UsageFault(f"line {err.lineno}: {err.message}", where=err.filename or template) from None
    except jinja2.UndefinedError as err:
        file, line = _place(err, directory, template)
        valid = ", ".join(sorted(names))
        raise UsageFault(f"line {line}: {err.message}", where=file, do=f"Templates may name: {valid}.") from None
    except (TypeError, ValueError, ZeroDivisionError) as err:
        file, line = _place(err, directory, template)
        raise UsageFault(f"line {line}: {err}", where=file) from None


def templates_of(target: Target) -> Iterator[str]:
    """Every template that a target names."""
    if target.launch is not None:
        yield from (config.template for config in target.launch.config)
    for _, steps in verbs(target):
        for step in steps:
            yield from (name for name in (step.render, step.body_template) if name)


def check_template(directory: Path, name: str) -> Iterator[str]:
    """What is wrong with a template as a file: at most one problem."""
    try:
        _environment(directory).get_template(name)
    except jinja2.TemplateNotFound:
        yield f'template "{name}" does not exist in {directory}'
    except jinja2.TemplateSyntaxError as err:
        yield f"template {name}, line {err.lineno}: {err.message}"


@functools.lru_cache(maxsize=256)
def _environment(directory: Path) -> jinja2.Environment:
    """One for each directory: it keeps compiled templates, and compiling costs more than all else in a launch."""

    def source(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        path = (directory / name).resolve()
        # A loader's None is "not found"; templates of several targets may be shared beside them.
        if not path.is_file():
            return None
        stamp = path.stat().st_mtime_ns
        return path.read_text("utf-8"), str(path), lambda: path.is_file() and path.stat().st_mtime_ns == stamp

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def _place(err: BaseException, directory: Path, template: str) -> tuple[str, int]:
    """File and line of the template that failed: Jinja rewrites tracebacks to point into templates."""
    file, line = str((directory / template).resolve()), 0
    trace = err.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.endswith(".py"):
            file, line = name, trace.tb_lineno
        trace = trace.tb_next
    return file, line
