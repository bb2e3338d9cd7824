"""`limpet lb` and `limpet backend`: the balancer and the backend on their own."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Its TOML file; see "
              "docs/reference-balancer.md.")  # fmt: skip
@click.option("--check", is_flag=True, help="Only say whether the configuration is right.")
def lb(config: Path, check: bool) -> int:
    """Run the reference balancer on its own."""
    from limpet.reference_lb.main import main

    return main(["--config", str(config), *(["--check"] if check else [])])


@click.command()
@click.option("--listen", default="127.0.0.1:8000", show_default=True, metavar="ADDR", help="HOST:PORT")
@click.option("--name", default="backend", show_default=True, help="How it calls itself in its responses.")
@click.option("--token", metavar="T", help="Opens its history over HTTP at /_limpet/history. Default: a fresh one.")
@click.option("--history", type=click.Path(path_type=Path), metavar="FILE", help="Where its history goes.")
@click.option("--protocol", type=click.Choice(["http", "tcp"]), default="http", show_default=True)
@click.option("--allow-remote", is_flag=True, help="Listen on an address that other machines can reach.")
def backend(listen: str, name: str, token: str | None, history: Path | None, protocol: str, allow_remote: bool) -> int:
    """Run limpet's backend, to stand behind a balancer of yours."""
    from limpet.harness.backends.standalone import serve_standalone

    return serve_standalone(listen, name, token, history, protocol, allow_remote=allow_remote)  # type: ignore[arg-type]


COMMANDS = (lb, backend)
