"""From a file to a configuration, or to everything that is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from limpet.reference_lb.parts.records import MemberSpec
from limpet.reference_lb.settings.config import (
    Affinity,
    Config,
    GroupConfig,
    Listener,
    MemberConfig,
    PoolConfig,
    Timeouts,
)
from limpet.reference_lb.settings.listener_rules import timeout_problems
from limpet.reference_lb.settings.pool_rules import group_problems, pool_problems
from limpet.reference_lb.settings.presets import constraint_problems, names, with_preset
from limpet.reference_lb.settings.problems import ConfigError, Problem, problems_of
from limpet.reference_lb.settings.rules import affinity_problems, listener_problems

_Model = TypeVar("_Model", bound=BaseModel)


def load(path: Path) -> Config:
    """Read and check a TOML file.

    Raises:
        ConfigError: with every problem of the file.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem("", f"it cannot be read: {error.strerror}")], str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("", f"it is no TOML: {error}")], str(path)) from error
    return check(raw, path)


def check(raw: Mapping[str, object], source: Path | None = None) -> Config:
    """Check a parsed file: keys and values first, and what may go together for every section that is readable.

    Raises:
        ConfigError: with every problem.
    """
    raw, problems = with_preset(raw)
    config: Config | None = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += problems_of(error, Config)
    listener = _section(Listener, raw.get("listener"))
    affinity = _section(Affinity, raw.get("affinity", {}))
    pool = _section(PoolConfig, raw.get("pool", {}))
    timeouts = _section(Timeouts, raw.get("timeouts", {}))
    if affinity is not None:
        problems += affinity_problems(affinity)
        if listener is not None:
            problems += listener_problems(listener, affinity)
    if listener is not None and timeouts is not None:
        problems += timeout_problems(listener, timeouts)
    if pool is not None:
        problems += pool_problems(pool)
        if listener is not None and affinity is not None:
            problems += group_problems(pool, listener, affinity)
    name = raw.get("preset")
    if isinstance(name, str) and name in names():
        problems += constraint_problems(name, {"listener": listener, "affinity": affinity, "pool": pool})
    if config is None or problems:
        raise ConfigError(problems, str(source or ""))
    config._source = source
    return config


def _section(model: type[_Model], raw: object) -> _Model | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def check_members(raw: object, *, groups: bool = False) -> tuple[MemberConfig | GroupConfig, ...]:
    """Check a list of members that the admin API was given; `groups`: each is a group of servers.

    Raises:
        ConfigError: with every problem.
    """
    if not isinstance(raw, list):
        raise ConfigError([Problem("", "a list of members is wanted")], "members")
    try:
        pool = PoolConfig.model_validate({"group" if groups else "member": raw})
    except ValidationError as error:
        raise ConfigError(problems_of(error, PoolConfig), "members") from error
    problems = list(pool_problems(pool))
    if problems:
        raise ConfigError(problems, "members")
    return pool.wanted


def specs(members: Sequence[MemberConfig | GroupConfig]) -> list[MemberSpec]:
    """As the pool wants them."""
    return [_spec(each) for each in members]


def _spec(member: MemberConfig | GroupConfig) -> MemberSpec:
    if isinstance(member, MemberConfig):
        return MemberSpec(member.name, member.host, member.port, member.weight, member.drain)
    addresses = tuple((each.host, each.port) for each in member.servers)
    return MemberSpec(member.name, *addresses[0], member.weight, member.drain, addresses)
