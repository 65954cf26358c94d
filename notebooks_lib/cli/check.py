"""`nbops check`: check notebooks against the rules: all of them in a project, faults elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import notebook_paths, output

if TYPE_CHECKING:
    from notebooks_lib.notebooks import notebook_rules
    from notebooks_lib.notebooks.notebook_rules import RuleViolation


@click.command()
@click.argument("paths", nargs=-1, type=notebook_paths.GivenPath(path_type=Path))
@click.option(
    "--fix", is_flag=True, help="First remove outputs and counts, add missing cell ids, and name the kernel python3."
)
@click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    help="ALL, FAULTS, or beginnings of codes, as in NB0,F821. Default: ALL in a project, FAULTS elsewhere.",
)
@click.option("--rules", "list_rules", is_flag=True, help="List the rules with reason and fix, and stop.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "github", "sarif")),
    default="text",
    help="Print lines, a JSON list, annotations of a GitHub workflow, or a SARIF 2.1.0 file.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    paths: tuple[Path, ...], fix: bool, select: tuple[str, ...], list_rules: bool, form: str, as_json: bool
) -> int:
    """Check notebooks, or all notebooks in folders, against the rules. Only --fix changes files.

    Without PATHS: all notebooks under experimentation/ and production/ of this project; outside a project, and without
    --fix, those below this folder. Prints `file:cell (id): CODE message`, with cells counted from 0. Works in any
    repository; outside a project it reports faults only. Exit code: 0 no findings, 1 findings.
    """

    form = "json" if as_json else form
    if list_rules:
        _print_rules(as_json=form == "json")
        return 0
    files = notebook_paths.find_notebooks(paths, anywhere=not fix)
    if fix:
        for file in files:
            _fix(file)
    everything = _check(files)
    findings = _selected(everything, select)
    if form == "text":
        _print_findings(findings, len(files))
        if len(findings) < len(everything) and not select:
            click.echo(_explain_left_out(len(everything) - len(findings)), err=True)
    else:
        from notebooks_lib.cli import finding_formats

        printed = {
            "json": finding_formats.as_json,
            "github": lambda findings: "\n".join(finding_formats.as_github(findings)),
            "sarif": finding_formats.as_sarif,
        }[form](findings)
        sys.stdout.write(printed + "\n" if printed else "")
    return 1 if findings else 0


def _print_findings(findings: Sequence[notebook_rules.RuleViolation], files: int) -> None:
    """Print a line for each finding, and on standard error the fixes and the count."""
    from notebooks_lib.notebooks import notebook_rules

    for finding in findings:
        where = click.style(f"{output.path(finding.path)}:{safe_text.printable(finding.place)}:", bold=True)
        click.echo(f"{where} {click.style(finding.code, fg='red')} {safe_text.printable(finding.text)}")
    for code in sorted({finding.code for finding in findings}):
        if rule := notebook_rules.find_rule(code):
            click.echo(f"  {code}: {rule.fix}", err=True)
    count = f"{files} notebook{'' if files == 1 else 's'}"
    click.echo(f"{count}, {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}", err=True)


def _fix(file: Path) -> None:
    """Write the cleaned notebook in place, as Jupyter would, if anything changes."""
    from notebooks_lib import atomic_private_files
    from notebooks_lib.notebooks import cleaning, document

    try:
        notebook = document.read(file)
    except errors.NotebookError:
        return  # the check reports it
    new = cleaning.clean(notebook)
    if new == notebook.raw:
        return
    try:
        target = notebook_paths.resolve_to_write(file)
        text = cleaning.format_like(target.read_bytes().decode("utf-8-sig"), new)
        atomic_private_files.write(target, text, durable=False, keep_rights=True)
    except errors.NotebookError as error:
        click.echo(f"left unchanged: {error}", err=True)
        return
    except OSError as error:
        raise errors.UsageError(f"{output.path(file)} cannot be written: {error.strerror or error}") from error
    click.echo(f"{output.path(file)}: cleaned", err=True)


def _check(files: Sequence[Path]) -> list[notebook_rules.RuleViolation]:
    """Return the violations in the order of the files."""
    from notebooks_lib.notebooks import check_options, cleaning, document, format_validity, notebook_rules

    notebooks, violations = [], []
    for file in files:
        try:
            notebooks.append(document.read(file))
            if problem := format_validity.find_problem(cleaning.clean(notebooks[-1])):
                violations.append(notebook_rules.RuleViolation(file, 0, notebook_rules.UNREADABLE, problem))
        except errors.NotebookError as error:
            message = str(error).removeprefix(f"{file}: ")  # each format names the file itself
            violations.append(notebook_rules.RuleViolation(file, 0, notebook_rules.UNREADABLE, message))
    violations += notebook_rules.check_with_ruff(
        notebooks, lambda notebook: check_options.of_folder(notebook.path.parent).builtins
    )
    return sorted(violations, key=lambda violation: violation.path)


def _selected(findings: Sequence[RuleViolation], select: Sequence[str]) -> list[RuleViolation]:
    """Return the findings of the rules that are selected on the command line, else in each notebook's project."""
    from notebooks_lib.notebooks import check_options

    if select:
        options = check_options.CheckOptions(select=check_options.check_selection(select))
        return [finding for finding in findings if options.includes(finding.code)]
    return [finding for finding in findings if check_options.of_folder(finding.path.parent).includes(finding.code)]


def _explain_left_out(number: int) -> str:
    findings = f"{number} more finding{'s are' if number > 1 else ' is'}"
    return f"{findings} not shown, of conventions that hold in a project of nbops: --select ALL shows all"


def _print_rules(*, as_json: bool) -> None:
    from notebooks_lib.notebooks import notebook_rules

    if as_json:
        fields = ("code", "what", "why", "fix", "convention")
        table = [{field: getattr(rule, field) for field in fields} for rule in notebook_rules.all_rules()]
        sys.stdout.write(json.dumps(table, ensure_ascii=False) + "\n")
        return
    for rule in notebook_rules.all_rules():
        kind = "  (convention)" if rule.convention else ""
        click.echo(f"{click.style(rule.code.ljust(5), bold=True)}  {rule.what}{kind}")
        click.echo(f"       why  {rule.why}")
        click.echo(f"       fix  {rule.fix}")
