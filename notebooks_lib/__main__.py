"""The `nbops` command, and `python -m notebooks_lib`. The one place that turns errors into lines and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli.main import command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 the notebook or gate failed, 2 usage error, 130 interrupted."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. An unexpected error shows its traceback."""
    if sys.stdout is None:  # as after `nbops … >&-`
        click.echo("nbops: the standard output is closed; send it to /dev/null if it is not needed", err=True)
        return 2
    if sys.stdin is None:  # as after `nbops … <&-`
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - until the end
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), prog_name="nbops", standalone_mode=False
        )
        sys.stdout.flush()  # a disk that is full, or a reader that has gone, is noticed here at the latest
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        return int(error.exit_code)
    except errors.NbopsError as error:
        click.echo(f"nbops: {safe_text.printable_lines(str(error))}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("nbops: interrupted", err=True)
        return 130
    except BrokenPipeError:  # `nbops compare … | head`
        _drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 - shown, after the faults of the machine were sorted out
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    fault = errors.machine_fault(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = safe_text.printable(str(error.filename or ""))
        click.echo(f"nbops: {name[:40]}… has {len(name)} characters, which is too long for a path", err=True)
        return 2
    if fault:
        click.echo(f"nbops: {fault}", err=True)
    else:
        import traceback

        text = "".join(traceback.format_exception(error))
        click.echo(safe_text.masked(safe_text.printable_lines(text)), err=True, nl=False)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    return 1


def _drop_output() -> None:
    """Discard output that has no reader, or Python complains about it again at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    main()
