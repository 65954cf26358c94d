"""`nbops kernels`: control the template processes of warm kernels, and install the kernelspec for JupyterLab."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib.cli.command_group import CommandGroup

if TYPE_CHECKING:
    from notebooks_lib.kernels.benchmark import KernelStart
    from notebooks_lib.kernels.template_protocol import TemplateStatus

NAMES = "mlflow,sklearn,pandas"


@click.group(cls=CommandGroup)
def command() -> None:
    """Show, stop and measure the template processes of warm kernels.

    `nbops run`, `sweep` and `promote` use warm kernels unless --cold is given; for JupyterLab, install the kernelspec.
    Warm kernels need Linux; elsewhere every kernel is an ordinary one.
    """


@command.command()
@click.option("--user", is_flag=True, help="For all environments of this user. Default: this environment only.")
@click.option("--prefix", type=click.Path(file_okay=False), help="Under DIR/share/jupyter/kernels.", metavar="DIR")
def install(user: bool, prefix: str | None) -> None:
    """Add "Python 3 (warm)" to the kernels that JupyterLab offers."""
    if user and prefix:
        raise click.UsageError("--user and --prefix exclude each other: give one")
    from notebooks_lib import errors
    from notebooks_lib.kernels import kernelspec_install, kernelspec_managers

    try:
        folder = kernelspec_install.install(user=user, prefix=prefix)
    except OSError as error:
        raise errors.KernelError(f"the kernelspec cannot be written: {error}; choose a place with --prefix") from error
    click.echo(f"{kernelspec_managers.DISPLAY} is installed in {folder}")
    installed_folder = kernelspec_install.find_installed()
    if installed_folder is None:
        click.echo(f"  Jupyter does not search there: export JUPYTER_PATH={folder.parent.parent}")
    # By name, Jupyter removes the first one it finds, which may belong to another environment.
    words = (
        ["jupyter", "kernelspec", "remove", kernelspec_managers.NAME]
        if installed_folder == folder
        else ["rm", "-r", str(folder)]
    )
    click.echo("  take it out   " + shlex.join(words))


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def status(as_json: bool) -> None:
    """Show each template process: its imports, its kernels and memory, and what its kernels import themselves."""
    content = _kernel_status()
    if as_json:
        click.echo(json.dumps(content))
        return
    click.echo(f"kernels      {content['kernels']}")
    click.echo(f"kernelspec   {content['kernelspec'] or 'not installed; for JupyterLab: nbops kernels install'}")
    click.echo(
        f"remembered   {content['remembered']} modules that this project's notebooks import, for the next template"
    )
    click.echo(f"             {content['memory']}")
    if len(content["templates"]) > 1:
        click.echo("templates differ in interpreter, environment (variables, cores, limits) or list of settings")
    for template in content["templates"]:
        _print(template)


def _kernel_status() -> dict[str, Any]:
    from notebooks_lib import settings
    from notebooks_lib.kernels import (
        import_history,
        kernelspec_install,
        preferences,
        template_manager,
    )

    project = settings.here()
    preference = preferences.read_preferences(str(project.root), {**os.environ, "NBOPS_ROOT": str(project.root)})
    templates: list[dict[str, Any]] = []
    kind = "warm" if preference.enabled else "cold: warm = false in the settings"
    try:
        templates = [
            {
                **vars(status),
                **_memory(status),
                "socket": str(path),
                "this_environment": template_manager.of_this_environment(status),
            }
            for path, status in template_manager.templates()
        ]
    except template_manager.Unavailable as error:
        kind = f"cold: {error}"
    table = preference.safe_packages()
    modules = [name for name in import_history.read_history(preference.memory) if table.allows(name)]
    folder = kernelspec_install.find_installed()
    return {
        "kernels": kind,
        "kernelspec": str(folder) if folder else None,
        "memory": preference.memory,
        "remembered": len(modules),
        "templates": templates,
    }


def _memory(status: TemplateStatus) -> dict[str, Any]:
    """Return the resident and the unshared memory of the template and of each of its kernels."""
    import psutil

    def of(pid: int) -> dict[str, float]:
        try:
            info = psutil.Process(pid).memory_full_info()
        except psutil.Error:
            return {"resident_mb": 0.0, "own_mb": 0.0}
        return {"resident_mb": round(info.rss / 2**20, 1), "own_mb": round(info.uss / 2**20, 1)}

    return {**of(status.pid), "kernels": {str(pid): of(pid) for pid in status.kernels}}


def _print(template: dict[str, Any]) -> None:
    click.echo()
    state = " (this environment)" if template["this_environment"] else ""
    state += "" if template["open"] else ", leaves with its last kernel"
    click.echo(click.style(f"template {template['pid']}", bold=True) + f"   {template['python']}{state}")
    click.echo(
        f"  modules    {template['modules']}"
        + (f", imports {template['importing']} now" if template["importing"] else "")
    )
    click.echo(f"  memory     {template['resident_mb']:.0f} MB, of which {template['own_mb']:.0f} MB are not shared")
    running = ", ".join(f"{pid} ({memory['own_mb']:.0f} MB of its own)" for pid, memory in template["kernels"].items())
    click.echo(f"  kernels    {running or 'none'}; {template['forks']} forked so far")
    if template["open"] and not template["kernels"]:
        click.echo(f"  leaves     in {template['idle_left'] / 60:.0f} min, unless a kernel is wanted")
    for name, why in template["never"].items():
        click.echo(f"  never      {name}: {why}")


@command.command()
@click.option("--forget", is_flag=True, help="Also forget which modules this project's kernels have imported.")
@click.option("--all", "everywhere", is_flag=True, help="Also those of your other environments and projects.")
def stop(forget: bool, everywhere: bool) -> None:
    """Stop the template processes of this environment, from which warm kernels are forked. Running kernels stay.

    A template process without kernels exits at once, another with its last kernel. --forget also deletes the list of
    modules that this project's kernels have imported.
    """
    from notebooks_lib import errors, settings
    from notebooks_lib.kernels import preferences, template_manager

    try:
        stopped = template_manager.stop(everywhere=everywhere)
        others = sum(status.open for _, status in template_manager.templates())
    except template_manager.Unavailable as error:
        raise errors.KernelError(f"there are no warm kernels: {error}") from error
    for status in stopped:
        outcome = f"leaves with its kernels {', '.join(map(str, status.kernels))}" if status.kernels else "has left"
        click.echo(f"template {status.pid} {outcome}")
    if not stopped:
        click.echo("no template was running" + (" in this environment" if others else ""))
    if others:
        click.echo(f"{others} of other environments stay: --all stops them, too")
    if forget:
        project = settings.here()
        path = Path(
            preferences.read_preferences(str(project.root), {**os.environ, "NBOPS_ROOT": str(project.root)}).memory
        )
        path.unlink(missing_ok=True)
        click.echo(f"forgotten: {path}")


@command.command()
@click.option("--names", default=NAMES, show_default=True, help="Modules that the first cell imports.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Kernels of each kind.")
def bench(names: str, repeats: int) -> None:
    """Start warm and cold kernels in turn, and measure the time to the first result."""
    modules = [name.strip() for name in names.split(",") if name.strip()]
    wrong = [name for name in modules if not all(part.isidentifier() for part in name.split("."))]
    if wrong or not modules:
        raise click.UsageError(f"--names takes modules with commas between them; found {names!r}")
    from notebooks_lib import errors
    from notebooks_lib.kernels import benchmark as measuring

    def print_start(start: KernelStart) -> None:
        kind = "warm" if start.warm else "cold"
        click.echo(f"  {kind}  {start.seconds:6.3f} s  {start.own_mb:6.0f} MB", err=True)

    try:
        warm, cold = measuring.measure_starts(modules, repeats, print_start)
    except measuring.BenchmarkFailed as error:
        raise errors.KernelError(str(error)) from error
    spread = measuring.Spread
    ratios = spread(tuple(slow.seconds / fast.seconds for fast, slow in zip(warm, cold, strict=True)))
    click.echo(f"median (least to most) of {repeats} kernels each, to the result of `import {', '.join(modules)}`")
    for kind, starts in (("warm", warm), ("cold", cold)):
        click.echo(f"  {kind}         {spread(tuple(start.seconds for start in starts))} s")
    click.echo(f"  cold / warm  {ratios}")
    for kind, starts in (("warm", warm), ("cold", cold)):
        click.echo(
            f"  {kind}         {spread(tuple(start.own_mb for start in starts))} MB not shared with another process"
        )
