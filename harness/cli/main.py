"""`limpet`: the commands, and how every fault becomes a short message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import limpet
from limpet.harness.cli import clean, doctor, matrix, replaying, selftest, serving, showing, testing
from limpet.harness.model.errors import HarnessFault, LimpetFault
from limpet.harness.model.verdict import ExitCode

DEBUG = "LIMPET_DEBUG"
"""An environment variable; set, limpet's own errors come with their traceback."""


class _InOrder(click.Group):
    """Lists its commands as they were added: what one needs first comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(limpet.__version__, prog_name="limpet")
def commands() -> None:
    """Does your load balancer keep the stickiness it promises?

    Exit codes of run, replay, matrix and selftest: 0 every checked promise held, and all that is required; 1 a promise
    is broken; 2 wrong usage or configuration; 3 the target could not be set up; 4 limpet itself failed; 5 nothing was
    checked, something required is undecided, or the run was interrupted.
    """


for command in (
    *testing.COMMANDS, *replaying.COMMANDS, *matrix.COMMANDS, *doctor.COMMANDS, *selftest.COMMANDS, *showing.COMMANDS,
    *serving.COMMANDS, *clean.COMMANDS,
):  # fmt: skip
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    try:
        code = commands.main(args=arguments, prog_name="limpet", standalone_mode=False)
        sys.stdout.flush()
        return int(code) if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as err:
        err.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("limpet: interrupted", err=True)
        return ExitCode.UNDECIDED
    except LimpetFault as fault:
        click.echo(f"limpet: {fault}", err=True)
        return fault.exit_code
    except SystemExit:
        # click's answer to a closed pipe, with the code that here would mean a broken promise.
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":
            return ExitCode.HELD
        raise
    except BrokenPipeError:
        # Who read this has closed the pipe (`limpet requirements | head`); the flush at the end must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.HELD
    except Exception as err:
        if os.environ.get(DEBUG):
            raise
        click.echo(f"limpet: {own_error(err)}", err=True)
        return ExitCode.HARNESS


def own_error(err: BaseException) -> HarnessFault:
    """What limpet says about an exception that it did not expect."""
    place, here = "", err.__traceback__
    while here is not None:
        place = f"{here.tb_frame.f_code.co_filename}:{here.tb_lineno}"
        here = here.tb_next
    return HarnessFault(
        f"limpet's own error, {type(err).__name__}: {err}",
        where=place,
        do=f"Nothing is said about the balancer. Please report it, with the traceback that {DEBUG}=1 shows.",
    )


if __name__ == "__main__":
    sys.exit(main())
