"""`limpet clean`: removes what dead runs left behind."""

from __future__ import annotations

import click


@click.command()
def clean() -> int:
    """Remove what dead runs left behind.

    Processes and work directories of runs that were killed together with their keeper, containers and networks of an
    engine. What belongs to a run that is still going, or to another user, stays. Every run does so at its beginning.
    """
    from limpet.harness.engine.cleaning import clean as sweep

    removed = sweep()
    for each in removed:
        click.echo(f"removed: {each}")
    if not removed:
        click.echo("Nothing was left behind.")
    return 0


COMMANDS = (clean,)
