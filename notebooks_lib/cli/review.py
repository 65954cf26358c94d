"""`nbops review`: what a pull request changes in notebooks, and what that does to their numbers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from notebooks_lib import errors, safe_text
from notebooks_lib.cli import github_output

if TYPE_CHECKING:
    from notebooks_lib.review.notebook_review import Review

FEWEST_SEEDS = 2


@click.command()
@click.argument("base", default="", metavar="[BASE]")
@click.option("--run", "make_runs", is_flag=True, help="Make the runs that the tracking store does not have.")
@click.option(
    "--seeds",
    type=click.IntRange(min=FEWEST_SEEDS),
    default=None,
    help="So many runs on each side with different seeds.",
)
@click.option(
    "--select",
    multiple=True,
    metavar="RULES",
    help="Rules, as for nbops check. Default: ALL in a project, FAULTS elsewhere.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write one page, with figures, here.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here too.")
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the figures that changed into this folder as PNG files; the report shows them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the report.")
def command(
    base: str,
    make_runs: bool,
    seeds: int | None,
    select: tuple[str, ...],
    html: Path | None,
    markdown: Path | None,
    figures: Path | None,
    as_json: bool,
) -> int:
    """Review the notebooks that changed since BASE: source, parameters, findings, numbers and their proof.

    BASE is a revision: what changed since the branch left it is reviewed. Default: the default branch. A notebook
    counts as changed if its source fingerprint changed, also through a module, a parameter or requirements.lock.

    Works in any git repository with notebooks; outside a project, findings are faults only. Numbers are those of runs
    in the tracking store. --run makes missing runs; those of the base in a separate work tree. The holdout is never
    read.

    Exit code: 0, also if a metric is worse; 1 if a notebook fails or there are new findings; 2 usage error.
    """
    from notebooks_lib.git_repository import GitRepository
    from notebooks_lib.notebooks import check_options
    from notebooks_lib.review.reviewer import Reviewer

    def say(line: str) -> None:
        click.echo(f"nbops review: {safe_text.printable(line)}", err=True)

    rules = check_options.check_selection(select)
    repository = GitRepository.find(Path.cwd())
    if Path(base).is_file() and not repository.has(base):
        raise errors.UsageError(f"{base} is a file, BASE is a revision; one notebook: nbops diff {base}")
    review = Reviewer(repository, base, make_runs, seeds or 0, rules, say).review()
    _tell_github(review)
    _write(review, html, markdown, figures)
    if as_json:
        sys.stdout.write(json.dumps(review.as_json()) + "\n")
    else:
        from notebooks_lib.review.markdown_report import to_markdown

        click.echo(to_markdown(review, figures=_link(figures, Path()), page=html is not None), nl=False)
    return review.exit_code


def _write(review: Review, html: Path | None, markdown: Path | None, figures: Path | None) -> None:
    try:
        if figures is not None:
            from notebooks_lib.review.figure_files import write_figures

            write_figures(review, figures)
        if html is not None:
            from notebooks_lib.review.review_page import to_page

            html.write_text(to_page(review), "utf-8")
        if markdown is not None:
            from notebooks_lib.review.markdown_report import to_markdown

            report = to_markdown(review, figures=_link(figures, markdown.parent), page=html is not None)
            markdown.write_text(report, "utf-8")
    except OSError as error:
        if errors.machine_fault(error):
            raise
        raise errors.UsageError(f"{error.filename} cannot be written: {error.strerror or error}") from error


def _link(folder: Path | None, start: Path) -> str:
    """Return the link from the folder `start` to another; empty without one."""
    return quote(Path(os.path.relpath(folder, start)).as_posix()) if folder else ""


def _tell_github(review: Review) -> None:
    """Write the outputs of a step of a workflow of GitHub."""
    content = review.as_json()
    verdicts = {name: str(content[name]).lower() for name in ("worse", "failed")}
    github_output.write({"changed": str(len(review.notebooks)), **verdicts})
