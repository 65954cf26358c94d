"""`nbops sweep`: run one notebook with many sets of parameters."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import errors
from notebooks_lib.cli import only_if, out_file, sweep_output
from notebooks_lib.cli.only_if import Answer
from notebooks_lib.cli.positive_number import POSITIVE
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.sweeps import samplers_and_pruners

if TYPE_CHECKING:
    from notebooks_lib.settings import Settings
    from notebooks_lib.sweeps.search_space import SearchSpace
    from notebooks_lib.sweeps.sweep_file import SweepFile
    from notebooks_lib.sweeps.sweep_request import SweepRequest
    from notebooks_lib.sweeps.trials import SweepResult

_ARGUMENTS = "notebooks_lib.sweep.arguments"


class _KeepsArguments(click.Command):
    """Keeps the arguments as given, to print the command that resumes the sweep."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=_KeepsArguments)
@click.argument("notebook", required=False, type=click.Path(path_type=Path))
@click.option(
    "--grid",
    multiple=True,
    metavar="NAME=VALUES",
    help="Values whose combinations are all run, as alpha=0.01,0.1 or seed=1..5.",
)
@click.option(
    "--space",
    multiple=True,
    metavar="NAME=DISTRIBUTION",
    help="A distribution to search, as 'alpha=loguniform(1e-3, 10)'.",
)
@click.option(
    "-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A fixed value for every trial; repeatable."
)
@click.option(
    "-f", "--file", type=click.Path(path_type=Path), help="Read all of this from a YAML file; options override it."
)
@click.option("--metric", metavar="NAME[:min|:max]", help="The metric to optimise, which the notebook logs.")
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials in a space.")
@click.option(
    "--sampler",
    type=click.Choice(list(samplers_and_pruners.ALL_SAMPLERS)),
    help=f"How to search a space. Default: {samplers_and_pruners.DEFAULT_SAMPLER}; with --service"
    f" {samplers_and_pruners.SERVICE_DEFAULT_SAMPLER}.",
)
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), help="Seed of the sampler.")
@click.option(
    "--prune",
    metavar="PRUNER",
    help="Stop hopeless trials: median, percentile:25 or hyperband; with --service median, truncation:20 or"
    " bandit:0.1.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Parallel trials. Default: one per core, per thread of Dask, or per machine of an Azure cluster.",
)
@click.option(
    "--on", metavar="PLACE", help="Where to run trials: local (the default), dask://HOST:PORT or azureml:NAME."
)
@click.option("--job", type=click.Path(path_type=Path), help="Job file. Default: production/azure/job.yml.")
@click.option(
    "--service/--no-service", default=None, help="Let Azure ML propose the trials, in a sweep job of its own."
)
@click.option("--timeout", type=POSITIVE, help="Seconds for each trial.")
@click.option("--cell-timeout", type=POSITIVE, help="Seconds for each cell.")
@click.option(
    "--sweep-timeout",
    type=POSITIVE,
    help="Seconds for the whole sweep; with --service.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first trial that fails.")
@click.option("--skip-seen", is_flag=True, help="Skip trials whose fingerprint has FINISHED in any experiment.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Resume that sweep, or the newest over the same values.",
)
@click.option("--experiment", help="Experiment of the runs. Default: the notebook's, else the project's.")
@click.option("--name", help="Name of the parent run.")
@click.option("--kernel", help="Use this kernel instead of the notebook's.")
@click.option("--cold", is_flag=True, help="Start ordinary kernels, not warm ones.")
@only_if.option
@out_file.option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run NOTEBOOK once for each set of values of a grid or a space: each a run, under one parent run.

    A failed trial is recorded and the others continue. Ctrl-C stops the running trials; --resume continues from there.
    Exit code: 0 all trials finished, were pruned or skipped; 1 some failed, none has the metric, or --sweep-timeout was
    reached; 2 usage error; 130 interrupted.
    """
    arguments: list[str] = ctx.meta[_ARGUMENTS]
    run_ids: list[str] = []
    try:
        try:
            return _sweep(options, arguments, run_ids)
        except errors.OtherKindOfSweepError as error:
            other = sweep_output.toggle_service(arguments, service=error.service)
            raise errors.UsageError(f"{error}: {other}") from error
    except (errors.NbopsError, KeyboardInterrupt) as error:
        over = isinstance(error, errors.SweepTakenOverError | errors.SweepNotStartedError)
        resume_command = sweep_output.resume_command(arguments, run_ids[0]) if run_ids and not over else None
        if options["as_json"]:  # a parser finds an object in every case
            details = {"error": type(error).__name__, "message": str(error)}
            sweep_output.print_json(
                {"run_id": run_ids[0] if run_ids else None, "status": None, "resume": resume_command, "error": details}
            )
        if resume_command is not None:
            click.echo(f"nbops: to go on: {resume_command}", err=True)
        raise


def _sweep(options: dict[str, Any], arguments: Sequence[str], run_ids: list[str]) -> int:
    from notebooks_lib.sweeps.sweep_file import SweepFile, load_file

    if options["notebook"] is None and (options["resume"] or "").endswith(".ipynb"):
        # No run has such a name: it is `--resume n.ipynb`.
        options["notebook"], options["resume"] = Path(options["resume"]), ""
    file = load_file(options["file"]) if options["file"] else SweepFile()
    unset = {key for key, value in options.items() if value is None or (value is False and key != "service")}
    options |= {key: getattr(file, key, None) for key in unset}
    if options["notebook"] is None and options["file"]:
        holds = "is empty" if file == SweepFile() else "names no notebook"
        raise click.UsageError(f"{options['file']} {holds}: write `notebook: NAME.ipynb` into it, with grid or space")
    if options["notebook"] is None:
        raise click.UsageError("name the notebook: nbops sweep NOTEBOOK --grid NAME=1,2,3")
    limits = [options[limit] for limit in ("timeout", "cell_timeout", "sweep_timeout")]
    if any(isinstance(limit, float) and math.isnan(limit) for limit in limits):
        raise click.UsageError("--timeout, --cell-timeout and --sweep-timeout take a number of seconds")
    domain = _search_space(options, file)
    if only_if.nothing_to_do(options["only_if"], out=options["out"], as_json=options["as_json"]):
        return 0
    answer = Answer.of(options["only_if"], options["out"], as_json=options["as_json"])
    if options["service"]:
        from notebooks_lib.cli import sweep_on_service

        return sweep_on_service.run(options, domain, arguments, run_ids, answer)
    if options["sweep_timeout"] is not None:
        raise click.UsageError("--sweep-timeout goes with --service")
    request, settings = _request(options, domain)
    return _run(
        request, settings, arguments, run_ids, Answer.of(options["only_if"], options["out"], as_json=options["as_json"])
    )


def _search_space(options: dict[str, Any], file: SweepFile) -> SearchSpace:
    from notebooks_lib.sweeps import parameter_grid, search_space

    notebook: Path = options["notebook"]
    schema = parameter_schema.read_schema(document.read(notebook))
    for option in ("name", "experiment"):
        if options[option] is not None and not options[option].strip():
            raise click.UsageError(f"--{option} takes a name, found an empty one: leave it out for the default")
    domain = search_space.read_search_space(
        schema,
        parameters=options["pairs"],
        grid=options["grid"],
        space=options["space"],
        file=file,
        notebook=notebook.name,
        environ=os.environ,
    )
    if isinstance(domain.swept, parameter_grid.ParameterGrid) and options["sampler"] is not None:
        raise click.UsageError("--sampler goes with --space: a grid runs all its combinations")
    return domain


def _request(options: dict[str, Any], domain: SearchSpace) -> tuple[SweepRequest, Settings]:
    from notebooks_lib import settings
    from notebooks_lib.running.plan import NotebookPlanner
    from notebooks_lib.sweeps import compute_targets, executors
    from notebooks_lib.sweeps.executors import TrialLimits
    from notebooks_lib.sweeps.goal import Goal
    from notebooks_lib.sweeps.sweep_request import SweepRequest

    notebook: Path = options["notebook"]
    goal = Goal.parse(options["metric"]) if options["metric"] else None

    project = settings.load(settings.find_root(notebook, fallback=Path.cwd()), os.environ)
    if options["job"] is not None and options["on"] is None:
        raise click.UsageError("--job says what a job needs: name its place with --on azureml:NAME")
    place = compute_targets.find_compute_target(options["on"], options["job"]) if options["on"] else executors.LOCAL
    jobs = options["jobs"] or place.default_jobs()
    threads = place.thread_limits(jobs, os.environ)
    limits = TrialLimits(options["timeout"], options["cell_timeout"], options["kernel"], bool(options["cold"]), threads)
    request = SweepRequest(
        source=NotebookPlanner(notebook, project, experiment=options["experiment"]),
        domain=domain,
        goal=goal,
        trials=options["trials"],
        sampler=options["sampler"] or samplers_and_pruners.DEFAULT_SAMPLER,
        seed=options["seed"],
        prune=options["prune"],
        jobs=jobs,
        place=place,
        limits=limits,
        fail_fast=bool(options["fail_fast"]),
        skip_seen=options["skip_seen"],
        resume=options["resume"],
        name=options["name"],
    )
    return request, project


def _run(request: SweepRequest, project: Settings, arguments: Sequence[str], run_ids: list[str], answer: Answer) -> int:
    from notebooks_lib.cli.live_table import table
    from notebooks_lib.sweeps import report, sweep
    from notebooks_lib.tracking import query, store

    connected = store.connect(project)
    with table(request.total, request.goal, jobs=request.jobs, silent=answer.as_json) as shown:
        result = sweep.run_sweep(
            request,
            connected,
            on_open=lambda run_id, url: _note_run(run_id, run_ids, silent=answer.as_json),
            on_change=shown.show,
            tell=lambda line: click.echo(f"nbops: {line}", err=True),
        )
    resume = sweep_output.resume_command(arguments, result.run_id)
    if not answer.give({**report.document(result), "resume": resume}):
        sweep_output.print_result(
            result,
            query.get_run(connected, result.run_id).experiment,
            arguments,
            repeated=_count_repeated(request, result),
        )
    return sweep_output.exit_code(result)


def _count_repeated(request: SweepRequest, result: SweepResult) -> int:
    """Return how many trials would run again with --resume. A study has learned from failed trials."""
    return result.count("killed") + (0 if request.learns else result.count("failed"))


def _note_run(run_id: str, run_ids: list[str], *, silent: bool) -> None:
    run_ids.append(run_id)
    if not silent:
        click.echo(f"sweep {run_id}", err=True)
