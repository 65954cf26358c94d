"""A group of commands that shows a whole sentence for each, and answers a name of `az ml` with the command of nbops."""

from __future__ import annotations

from collections.abc import Mapping

import click

AZ_ML: Mapping[str, Mapping[str, str]] = {
    "nbops": {
        "job": "nbops azure jobs",
        "workspace": "nbops azure up",
        "compute": "nbops azure status",
        "schedule": "nbops azure schedule",
        "online-endpoint": "nbops endpoint",
        "online-deployment": "nbops endpoint",
        "batch-endpoint": "nbops batch",
        "batch-deployment": "nbops batch",
        "model": "nbops history",
    },
    "nbops azure": {
        "create": "nbops azure up",
        "list": "nbops azure status",
        "show": "nbops azure status",
        "delete": "nbops azure down",
        "job": "nbops azure jobs",
        "stream": "nbops azure jobs follow",
        "cancel": "nbops azure jobs stop",
        "trigger": "nbops azure schedule now",
        "enable": "nbops azure schedule on",
        "disable": "nbops azure schedule off",
        "invoke": "nbops endpoint invoke",
    },
    "nbops azure jobs": {
        "create": "nbops run NOTEBOOK --on azureml:NAME",
        "stream": "nbops azure jobs follow",
        "show": "nbops azure jobs follow",
        "download": "nbops azure jobs logs",
        "cancel": "nbops azure jobs stop",
    },
    "nbops azure schedule": {
        "create": "nbops azure schedule apply",
        "update": "nbops azure schedule apply",
        "show": "nbops azure schedule list",
        "enable": "nbops azure schedule on",
        "disable": "nbops azure schedule off",
        "trigger": "nbops azure schedule now",
    },
    "nbops endpoint": {
        "create": "nbops promote --live",
        "show": "nbops endpoint status",
        "update": "nbops endpoint traffic",
        "delete": "nbops endpoint stop",
        "get-logs": "nbops endpoint logs",
    },
    "nbops batch": {
        "create": "nbops batch deploy",
        "invoke": "nbops batch run",
        "show": "nbops azure status",
        "list": "nbops azure status",
        "list-jobs": "nbops azure jobs list",
    },
    "nbops data": {"create": "nbops data add, then nbops data push", "download": "nbops data pull"},
}
"""Group -> a subcommand that users of `az ml` type -> the command of nbops that does it."""


class CommandGroup(click.Group):
    """A group whose list of commands is wrapped instead of cut."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named. Raises UsageError for a name of `az ml`, with that of nbops."""
        ours = AZ_ML.get(ctx.command_path, {}).get(args[0])
        if ours and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"No such command {args[0]!r}; here it is: {ours}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each command."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in commands.items() if each])
