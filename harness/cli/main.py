"""`limpet`: the commands, and how every fault becomes a short message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

import limpet
from limpet.harness.cli import serving, showing, testing
from limpet.harness.model.errors import LimpetFault
from limpet.harness.model.verdict import ExitCode


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(limpet.__version__, prog_name="limpet")
def commands() -> None:
    """Does your load balancer keep the stickiness it promises?

    Exit codes of run and selftest: 0 every checked promise held, and all that is required; 1 a promise is broken;
    2 wrong usage or configuration; 3 the target could not be set up; 4 limpet itself failed; 5 nothing was checked, or
    something required is undecided.
    """


for command in (*testing.COMMANDS, *showing.COMMANDS, *serving.COMMANDS):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    try:
        code = commands.main(args=arguments, prog_name="limpet", standalone_mode=False)
        return int(code) if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        click.echo("limpet: interrupted", err=True)
        return ExitCode.UNDECIDED
    except click.ClickException as err:
        err.show()
        return ExitCode.USAGE
    except LimpetFault as fault:
        click.echo(f"limpet: {fault}", err=True)
        return fault.exit_code
    except KeyboardInterrupt:
        click.echo("limpet: interrupted", err=True)
        return ExitCode.UNDECIDED


if __name__ == "__main__":
    sys.exit(main())
