"""`limpet lb` and `limpet backend`: the balancer and the backend on their own."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Its TOML file; see "
              "docs/reference-balancer.md.")  # fmt: skip
@click.option("--preset", metavar="PRODUCT/MODE", help="Behave as this product documents, without a file.")
@click.option("--presets", is_flag=True, help="List the presets and stop.")
@click.option("--listen", metavar="ADDR", help="With --preset: HOST:PORT. Default: 127.0.0.1:8080.")
@click.option("--backend", "backends", multiple=True, metavar="NAME=ADDR", help="With --preset: one backend; may be "
              "repeated.")  # fmt: skip
@click.option("--application-cookie", metavar="NAME", help="With --preset: the application's cookie.")
@click.option("--duration", metavar="TIME", help='With --preset: the stickiness duration, such as "20m".')
@click.option("--check", is_flag=True, help="Only say whether the configuration is right.")
def lb(presets: bool, check: bool, backends: tuple[str, ...], **given: str | Path | None) -> int:
    """Run the reference balancer on its own, from a file or as a product documents itself."""
    from limpet.reference_lb.main import main

    arguments = [each for name, value in given.items() if value is not None for each in (_option(name), str(value))]
    arguments += [each for backend in backends for each in ("--backend", backend)]
    arguments += ["--presets"] * presets + ["--check"] * check
    return main(arguments)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@click.command()
@click.option("--listen", default="127.0.0.1:8000", show_default=True, metavar="ADDR", help="HOST:PORT")
@click.option("--name", default="backend", show_default=True, help="How it calls itself in its responses.")
@click.option("--token", metavar="T", help="Opens its history over HTTP at /_limpet/history. Default: a fresh one.")
@click.option("--history", type=click.Path(path_type=Path), metavar="FILE", help="Where its history goes.")
@click.option("--protocol", type=click.Choice(["http", "tcp", "tls", "udp"]), default="http", show_default=True)
@click.option("--sessions", metavar="URL", default="", help="Keep sessions in this Redis server, such as "
              "redis://127.0.0.1:6379, which backends share. Default: in its own memory.")  # fmt: skip
@click.option("--allow-remote", is_flag=True, help="Listen on an address that other machines can reach.")
def backend(
    listen: str, name: str, token: str | None, history: Path | None, protocol: str, sessions: str, allow_remote: bool
) -> int:
    """Run limpet's backend, to stand behind a balancer of yours."""
    from limpet.harness.backends.standalone import serve_standalone

    return serve_standalone(
        listen, name, token, history, protocol, allow_remote=allow_remote, sessions=sessions,  # type: ignore[arg-type]
    )  # fmt: skip


COMMANDS = (lb, backend)
