"""The `nbops` command, and `python -m notebooks_lib`. The one place that turns errors into lines and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from notebooks_lib import errors
from notebooks_lib.cli.main import command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 the notebook or gate failed, 2 asked for wrongly, 130 interrupted."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code. What is not foreseen here shows its traceback."""
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), prog_name="nbops", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        return int(error.exit_code)
    except errors.NbopsError as error:
        click.echo(f"nbops: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("nbops: interrupted", err=True)
        return 130
    except BrokenPipeError:  # `nbops compare … | head`
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    main()
