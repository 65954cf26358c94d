"""The list of commands. A command's module is imported only when it is called, so that `nbops --help` is quick."""

from __future__ import annotations

import importlib

import click

from notebooks_lib import __version__
from notebooks_lib.cli.command_group import AZ_ML, CommandGroup

COMMANDS = {
    "init": "Make a project: notebooks, settings, tests, a Makefile, workflows.",
    "new": "Make a notebook for a question, out of the template.",
    "run": "Run a notebook and track it.",
    "sweep": "Run a notebook with many sets of parameters.",
    "page": "The executed notebook of a run, for the browser.",
    "compare": "Rank the runs of an experiment by a metric.",
    "promote": "Compare the best run with the champion, and deploy the winner.",
    "rollback": "Go back to the version that was champion before.",
    "history": "Show each change of a model's champion and traffic: when, by whom and why.",
    "gate": "Let the gate of promotion test itself.",
    "endpoint": "Start, stop and call the endpoint that serves a model.",
    "batch": "Score a whole table with a registered model, here or by a batch endpoint of Azure.",
    "profile": "Measure a model under CPU and memory limits, and recommend a size.",
    "data": "List, show and add versioned datasets.",
    "kernels": "Show, stop and measure the processes that warm kernels are forked from.",
    "check": "Check notebooks for faults, and in a project against its conventions.",
    "clean": "Take outputs and noisy metadata out of notebooks; also as git's filter.",
    "diff": "Show what changed in notebooks, cell by cell.",
    "review": "Review what a pull request changes in notebooks, numbers included.",
    "ci": "Run the steps of a pull request here, as the workflow does.",
    "verify": "Run a notebook again, and compare its metrics with those of earlier runs.",
    "azure": "Make an Azure ML workspace, check the project's files for it, and show its jobs.",
    "doctor": "Show the settings in force, and find problems.",
    "ui": "Open MLflow's pages on the runs of this project.",
}


class _Lazy(CommandGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        subcommand: click.Command = importlib.import_module(f"notebooks_lib.cli.{cmd_name}").command
        return subcommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in {**COMMANDS, **AZ_ML["nbops"]}:
            from notebooks_lib import errors

            raise click.UsageError(errors.unknown("command", args[0], COMMANDS), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nbops")
def command() -> None:
    """From a notebook to a served model, without rewriting it.

    Every command answers `--help`. Settings: production/settings.toml; `nbops doctor` shows them.
    """
