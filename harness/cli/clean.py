"""`limpet clean`: removes what dead runs left behind."""

from __future__ import annotations

import click


@click.command()
def clean() -> int:
    """Remove what dead runs left behind.

    Processes and work directories of runs that were killed together with their keeper, containers and networks of an
    engine; what such runs did to balancers and backends of yours is undone. What belongs to a run that is still going,
    or to another user, stays. Every run does so at its beginning. Exit code 3 where something could not be undone.
    """
    from limpet.harness.engine.cleaning import clean as sweep
    from limpet.harness.model.verdict import ExitCode

    swept = sweep()
    for each in swept.done:
        click.echo(f"cleaned: {each}")
    for fault in swept.faults:
        click.echo(f"limpet: {fault}", err=True)
    if swept.faults:
        return ExitCode.SETUP
    if not swept.done:
        click.echo("Nothing was left behind.")
    return 0


COMMANDS = (clean,)
