"""The command line of the balancer: a file, or a preset with what it needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from limpet.reference_lb.settings import presets
from limpet.reference_lb.settings.config import Config
from limpet.reference_lb.settings.load import check, load
from limpet.reference_lb.settings.problems import ConfigError, Problem

_WITH_A_PRESET = ("listen", "backend", "application_cookie", "duration")


def parser() -> argparse.ArgumentParser:
    """`limpet lb`'s own options."""
    found = argparse.ArgumentParser(prog="limpet lb", description="limpet's reference balancer")
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="TOML configuration; its key `preset` may name one")
    what.add_argument("--preset", metavar="PRODUCT/MODE", help="behave as this product documents")
    what.add_argument("--presets", action="store_true", help="list the presets and stop")
    found.add_argument("--listen", metavar="HOST:PORT", help="with --preset: where clients connect")
    found.add_argument(
        "--backend", action="append", metavar="NAME=HOST:PORT", help="with --preset: one backend; may be repeated"
    )
    found.add_argument("--application-cookie", metavar="NAME", help="with --preset: the application's cookie")
    found.add_argument("--duration", metavar="TIME", help='with --preset: the stickiness duration, such as "20m"')
    found.add_argument("--check", action="store_true", help="check the configuration and stop")
    return found


def listing() -> str:
    """Every preset with its title, and what it needs besides backends."""
    options = {"affinity.application.name": "--application-cookie", "affinity.duration": "--duration"}
    lines = []
    for name in presets.names():
        preset = presets.preset(name)
        needs = ", ".join(options.get(each, each) for each in preset.needs)
        lines.append(f"{name:32} {preset.title}" + (f" (needs {needs})" if needs else ""))
    return "\n".join(lines)


def config_of(options: argparse.Namespace) -> Config:
    """The configuration that the options ask for.

    Raises:
        ConfigError: with every problem.
    """
    given = [f"--{name.replace('_', '-')}" for name in _WITH_A_PRESET if getattr(options, name)]
    if options.config is not None:
        if given:
            raise ConfigError([Problem(each, "goes with --preset; here the file says it") for each in given])
        return load(options.config)
    problems: list[Problem] = []
    listener = _address("--listen", options.listen or "127.0.0.1:8080", problems)
    members = [_member(each, problems) for each in options.backend or ()]
    if not members:
        problems.append(Problem("--backend", "name at least one: --backend b1=127.0.0.1:9001"))
    if problems:
        raise ConfigError(problems, "limpet lb")
    affinity: dict[str, object] = {}
    if options.duration:
        affinity["duration"] = options.duration
    if options.application_cookie:
        affinity["application"] = {"name": options.application_cookie}
    raw: dict[str, object] = {
        "preset": options.preset,
        "listener": listener,
        "pool": {"member": members},
        "affinity": affinity,
    }
    return check(raw)


def _member(text: str, problems: list[Problem]) -> dict[str, object]:
    name, equals, address = text.partition("=")
    if not equals or not name:
        problems.append(Problem("--backend", f"{text!r}: write NAME=HOST:PORT, such as b1=127.0.0.1:9001"))
        return {}
    return {"name": name, **_address("--backend", address, problems)}


def _address(option: str, text: str, problems: list[Problem]) -> dict[str, object]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        problems.append(Problem(option, f"{text!r}: write HOST:PORT, such as 127.0.0.1:8080"))
        return {}
    return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options.

    Raises:
        SystemExit: argparse has said what is wrong, or shown its help.
    """
    return parser().parse_args(argv)
