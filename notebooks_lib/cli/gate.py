"""`nbops gate`: test whether the promotion gate can be trusted."""

from __future__ import annotations

import json

import click

from notebooks_lib.cli import output
from notebooks_lib.cli.command_group import CommandGroup


@click.group(cls=CommandGroup)
def command() -> None:
    """Test the promotion gate."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def selftest(as_json: bool) -> int:
    """Give the promotion gate pairs of models with a known difference, and count its decisions.

    400 pairs are equal, 40 clearly better, 40 clearly worse; others lie close to the critical value of a paired t-test.
    Takes seconds, reads no store, changes nothing. Exit code 1 when a check fails.
    """
    from notebooks_lib.promotion import selftest as tests

    checks = tests.run_selftest()
    ok = all(check.ok for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": ok, "checks": [vars(check) for check in checks]}))
        return int(not ok)
    rows = [("ok" if check.ok else "FAULT", check.name, check.found, check.wanted) for check in checks]
    output.table(("", "what is put before the gate", "found", "wanted"), rows)
    verdict = "the gate decides as it says" if ok else "the gate does not decide as it says: promote nothing with it"
    click.echo(f"\n{verdict}")
    return int(not ok)
