"""`nbops promote`: run the promotion notebook, and print the recorded decision with its reasons."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.cli import github_output, out_file, output, promotion_text
from notebooks_lib.cli import only_if as condition
from notebooks_lib.cli.only_if import Answer
from notebooks_lib.stages import STAGES

if TYPE_CHECKING:
    from notebooks_lib.release.decision_record import PromotionRecord
    from notebooks_lib.run_result import RunResult
    from notebooks_lib.serving.endpoint import EndpointStatus
    from notebooks_lib.settings import Settings

NOTEBOOK = Path("production") / "promote.ipynb"


@click.command()
@click.option(
    "--live",
    is_flag=True,
    help="Carry it out. Without --live: print what would be done; this spends one use of the holdout.",
)
@click.option("--stages", metavar=",".join(STAGES), help="The stages to go through. Default: [stages] default.")
@click.option(
    "--continue",
    "model",
    metavar="MODEL[@VERSION]",
    help="Continue with the version of MODEL that waits for this approval, or whose promotion was cut short.",
)
@click.option("--stage", type=click.Choice(STAGES), help="With --continue: approve it for this stage only.")
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the notebook.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Parameters from a YAML file."
)
@click.option("--notebook", type=click.Path(path_type=Path), help=f"Default: {NOTEBOOK.as_posix()} of the project.")
@click.option("--cold", is_flag=True, help="Start an ordinary kernel, not a warm one.")
@condition.option
@out_file.option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(
    live: bool,
    stages: str | None,
    model: str | None,
    stage: str | None,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    notebook: Path | None,
    cold: bool,
    only_if: Path | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Compare the best run with the champion on rows that no experiment has used, and deploy the winner.

    Exit code: 0 promoted, kept, undecided or waiting for an approval; 1 the notebook failed; 2 usage error; 130
    interrupted. A CI job reads `promoted` and `waiting` from --json, or from the step's output on GitHub.
    """
    if model is not None:
        if stages or pairs or files or notebook or cold or only_if:
            raise click.UsageError(
                "--continue takes --live, --stage, --out and --json only: the rest was given when the release began"
            )
        name, _, number = model.partition("@")
        if not name:
            raise click.UsageError(
                f"--continue {model!r} names no model: MODEL, or MODEL@VERSION (`make promote` takes it from APPROVED)"
            )
        return _approve(name, number, stage or "", Answer(as_json, out, {}))
    if stage is not None:
        raise click.UsageError("--stage goes with --continue MODEL; which stages a release goes through: --stages")
    pairs = (*pairs, f"stages={stages}") if stages else pairs
    if condition.nothing_to_do(only_if, out=out, as_json=as_json):
        _write_github_output(promoted=False)
        return 0
    answer = Answer.of(only_if, out, as_json=as_json)
    return _promote(notebook, pairs, files, answer, live=live, cold=cold)


def _promote(
    notebook: Path | None,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    answer: Answer,
    *,
    live: bool,
    cold: bool,
) -> int:
    from notebooks_lib import settings
    from notebooks_lib.errors import UsageError
    from notebooks_lib.notebooks import document, parameter_schema, parameter_values

    start = notebook or Path.cwd()
    project = settings.load(settings.find_root(start, fallback=Path.cwd()), os.environ)
    path = notebook or project.root / NOTEBOOK
    schema = parameter_schema.read_schema(document.read(path))
    values = parameter_values.from_command_line(pairs, files, schema, notebook=path.name)
    if "dry_run" in values:
        raise UsageError(
            "dry_run is no parameter here: leave --live out for a dry run, give it to carry the decision out"
        )

    from notebooks_lib.running import plan
    from notebooks_lib.running.runner import run_notebook

    subject = {**schema.defaults, **values}
    _check_subject(subject, project)
    _check_stages(subject.get("stages"), project, _model(subject))
    if not answer.as_json:
        for note in (*_unfinished_notes(project, _model(subject), live=live), _unlogged_note(subject, project)):
            if note:
                click.echo(f"note: {note}", err=True)
    planned = plan.make_plan(path, project, {**values, "dry_run": not live})
    with output.CellProgress(path.stem, silent=answer.as_json) as progress:
        result = run_notebook(planned, cold=cold, on_open=progress.opened, on_cell=progress.cell)
    if result.status != "FINISHED" or result.run_id is None:
        return _report_failed(project, result, _model(subject), answer)
    return _report_finished(project, result, result.run_id, answer)


def _report_failed(project: Settings, result: RunResult, model: str, answer: Answer) -> int:
    """Print how the notebook ended, and the decision if it was recorded before; return the exit code."""
    record = _record(project, result.run_id)
    _write_github_output(promoted=False, decision=record.decision.answer if record else "")
    recorded = {
        "decision": record.decision.content if record else None,
        "card": record.card if record else None,
        "release": record.release.as_json() if record else None,
    }
    if not answer.give({"promoted": False, "waiting": "", **recorded, "endpoint": None, **result.as_json()}):
        click.echo(click.style(result.status, fg="red") + f"  {safe_text.printable_lines(str(result.failure))}")
        if record is not None:
            click.echo(f"  decision  {safe_text.printable(record.decision.summary)}")
        if result.output is not None:
            click.echo(f"  notebook  {output.path(result.output)}")
        click.echo(f"  run       {result.run_id}  ({output.open_hint(result.url)})")
        _print_unfinished(project, model)
    return 130 if result.failure is not None and result.failure.kind == "interrupt" else 1


def _report_finished(project: Settings, result: RunResult, run_id: str, answer: Answer) -> int:
    """Print the recorded decision, what the stages did and where it is served; return the exit code."""
    from notebooks_lib.release import decision_record
    from notebooks_lib.tracking.store import connect

    record = decision_record.read_decision(connect(project), run_id)
    decision, release = record.decision, record.release
    served = [stage for stage in release.passed or ("prod",) if stage not in project.stages.approval]
    status = _status(project, served[-1], decision.model) if served and not release.dry_run else None
    subject = {"model": decision.model, "version": release.version}
    _write_github_output(promoted=release.promoted, waiting=release.waiting, **subject, decision=decision.answer)
    promoted = {
        "promoted": release.promoted,
        "waiting": release.waiting,
        "decision": decision.content,
        "run_id": run_id,
        "url": result.url,
        "card": record.card,
        "release": release.as_json(),
    }
    endpoint = status.as_json() if status else None
    with github_output.summary(result.url):
        promotion_text.print_decision(decision, release, status, project)
    if answer.give({**promoted, "endpoint": endpoint, "output": result.as_json()["output"]}):
        return 0
    promotion_text.print_decision(decision, release, status, project)
    click.echo(f"  card       {output.local_path(record.card)}")
    if result.output is not None:
        click.echo(f"  notebook   {output.path(result.output)}")
    click.echo(f"  run        {run_id}  ({output.open_hint(result.url)})")
    return 0


def _print_unfinished(project: Settings, model: str) -> None:
    """Report what a killed notebook left unfinished, and the remedy."""
    from notebooks_lib.release import change_storage, journal

    for change in change_storage.unfinished_changes(project, model):
        click.echo(f"  unfinished: {journal.describe(change)}; {journal.recovery_hint(change)}")


def _unfinished_notes(project: Settings, model: str, *, live: bool) -> list[str]:
    """Return a warning for each change of the model that has not ended: a live promotion settles it first."""
    from notebooks_lib.release import change_storage, journal

    settles = "it is finished or undone first" if live else "--live finishes or undoes it first"
    changes = change_storage.unfinished_changes(project, model)
    return [f"{journal.describe(change)}, is still running or was cut short: {settles}" for change in changes]


def _record(project: Settings, run_id: str | None) -> PromotionRecord | None:
    """Return what was recorded before a stage failed; None when nothing was."""
    from notebooks_lib.errors import NbopsError
    from notebooks_lib.release import decision_record
    from notebooks_lib.tracking.store import connect

    try:
        return decision_record.read_decision(connect(project), run_id) if run_id else None
    except NbopsError:
        return None


def _check_subject(values: Mapping[str, Any], project: Settings) -> None:
    """Raise UsageError for a subject that does not exist, such as an unknown metric, before anything starts."""
    from notebooks_lib.errors import UnknownNameError
    from notebooks_lib.metrics import builtin
    from notebooks_lib.promotion import candidate_screening
    from notebooks_lib.serving.endpoint import check_name
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import connect

    if isinstance(values.get("metric"), str):
        builtin.check(values["metric"])
    if isinstance(values.get("model_name"), str):
        check_name("model", _model(values))
    if isinstance(values.get("challengers"), int) and isinstance(values.get("max_candidates"), int):
        candidate_screening.check_challengers(values["challengers"], values["max_candidates"])
    experiment = values.get("experiment")
    experiments = query.experiments(connect(project))
    if isinstance(experiment, str) and experiment not in experiments:
        raise UnknownNameError("experiment", experiment, experiments)


def _unlogged_note(values: Mapping[str, Any], project: Settings) -> str:
    """Return a warning when only the newest runs will be scored, since none has logged the metric; else empty.

    It is for the terminal, before the holdout is read, so it goes by the runs' tags and reads no dataset.
    """
    from notebooks_lib.datasets import version_lookup
    from notebooks_lib.metrics import builtin
    from notebooks_lib.promotion import run_ranking
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import connect

    experiment, metric, limit = (values.get(name) for name in ("experiment", "metric", "max_candidates"))
    if not (isinstance(experiment, str) and metric in builtin.METRICS and isinstance(limit, int)):
        return ""
    largest = builtin.DIRECTIONS[metric] == "max"
    runs = query.promising_runs(connect(project), experiment, metric, largest=largest).runs
    refs = [tag.ref for run in runs for tag in run.dataset_tags]
    if dataset := values.get("dataset"):
        name, version = version_lookup.parse_ref(dataset)
        refs = [ref for ref in refs if ref == dataset or (version is None and ref.startswith(f"{name}@"))]
    same = [run for run in runs if refs[:1] and refs[0] in (tag.ref for tag in run.dataset_tags)]
    return run_ranking.unlogged_note(metric, same, limit)


def _model(values: Mapping[str, Any]) -> str:
    """Return the model's name: the parameters', else the experiment's."""
    return str(values.get("model_name") or values.get("experiment"))


def _status(project: Settings, stage: str, model: str) -> EndpointStatus | None:
    from notebooks_lib.release import version_deployment
    from notebooks_lib.serving import targets

    return version_deployment.endpoint_status(targets.stage_endpoint(project, stage, model))


def _check_stages(stages: Any, project: Settings, model: str) -> None:
    """Raise UsageError for an unknown stage, or one that asks for too much of its endpoint, before anything starts."""
    from notebooks_lib.release import rollout

    if isinstance(stages, str):
        rollout.check_endpoints(project, [name.strip() for name in stages.split(",") if name.strip()], model)


def _approve(model: str, number: str, stage: str, answer: Answer) -> int:
    from notebooks_lib import settings
    from notebooks_lib.release import approval
    from notebooks_lib.release.rollout import continue_command
    from notebooks_lib.tracking.store import connect

    settings.existing()
    output.show_endpoint_progress()
    try:
        rollout = approval.approve(connect(settings.here()), model, number=number, stage=stage)
    except BaseException:
        _write_github_output(promoted=False)
        raise
    version = rollout.version.version if rollout.version else None
    _write_github_output(promoted=rollout.promoted, waiting=rollout.waiting, model=model, version=version)
    content = {"promoted": rollout.promoted, "waiting": rollout.waiting, "model": model, "version": version}
    content |= {"passed": rollout.passed, "steps": [vars(step) for step in rollout.steps]}
    if answer.give({**content, "endpoint": rollout.status.as_json() if rollout.status else None}):
        return 0
    waits = f"waiting: needs an approval to enter {rollout.waiting}"
    state = waits if rollout.waiting else f"promoted{promotion_text.target_stages(rollout.passed)}"
    click.echo(
        click.style(f"{model} version {version}: {state}", fg="yellow" if rollout.waiting else "green", bold=True)
    )
    promotion_text.print_steps(rollout.steps)
    if rollout.status is not None:
        click.echo(
            f"  {'endpoint':<12}  {rollout.status.address} ({rollout.status.state}, version {rollout.status.version})"
        )
        if rollout.status.curl:
            click.echo(f"  {'try it':<12}  {rollout.status.curl}")
    undo = rollout.undo or promotion_text.no_undo(model, rollout.passed, settings.here())
    last = ("continue", continue_command(model)) if rollout.waiting else ("undo", undo)
    click.echo(f"  {last[0]:<12}  {last[1]}")
    return 0


def _write_github_output(*, promoted: bool, **more: str | None) -> None:
    """Write values for the later steps of a workflow of GitHub, without those that are empty."""
    github_output.write({"promoted": str(promoted).lower(), **{name: value for name, value in more.items() if value}})
