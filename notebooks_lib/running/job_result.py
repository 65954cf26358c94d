"""The result of a notebook that ran in a job, as of one that ran here; its executed notebook is fetched."""

from __future__ import annotations

import logging
from pathlib import Path

from notebooks_lib import atomic_private_files, errors
from notebooks_lib.azure.jobs.job_following import JobEnd
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.run_result import RunResult
from notebooks_lib.running.plan import executed_name
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores


def job_result(
    settings: Settings, tracking_uri: str, history: RunHistory, end: JobEnd, output: Path | None
) -> RunResult:
    """Return how a job's run ended. `output` is the file for its executed notebook, by default under .nbops/executed.

    If it cannot be fetched, the result names none: what lies in the file is of an earlier run. A warning says so.
    """
    run = end.run
    name = executed_name(Path(run.tags.get(Tag.NOTEBOOK, "notebook.ipynb")), run.run_id)
    aside = run.tags.get(Tag.SET_ASIDE, "")
    kept = f"{aside}/notebook/{name}" if aside else f"notebook/{name}"
    file: Path | None = None
    if Tag.END in run.tags:
        try:
            content = history.file(run, kept).decode()
            file = output or settings.layout.executed / name
            atomic_private_files.write(file, content, durable=False)
        except (errors.AzureError, OSError) as error:
            file = None
            logging.getLogger(__name__).warning("the executed notebook stays in the run: %s", error)
    if run.metrics and (attempt := run.tags.get(Tag.ATTEMPT)):
        logging.getLogger(__name__).warning(
            "this was attempt %s of the job: a metric has the value of an earlier one that came to a later step",
            attempt,
        )
    return run_result(end, file, stores.Store(tracking_uri, settings).run_url(run.run_id, run.experiment_id))


def run_result(end: JobEnd, output: Path | None, url: str = "") -> RunResult:
    """Return how a job's run ended; nothing is fetched. `output` is the file of its executed notebook."""
    run = end.run
    peak = run.tags.get(Tag.PEAK_MEMORY, "")
    return RunResult(
        run_id=run.run_id,
        status=end.status,
        output=output,
        metrics=run.metrics,
        failure=end.failure,
        url=url,
        stopped_early=run.tags.get(Tag.STOPPED_EARLY) == "true",
        seconds=run.seconds,
        peak_memory_mb=float(peak) if peak else None,
    )
