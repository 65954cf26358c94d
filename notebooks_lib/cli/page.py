"""`nbops page`: show the executed notebook of a run in the browser."""

from __future__ import annotations

import click

from notebooks_lib.cli import output


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the browser.")
def command(run_id: str, in_browser: bool) -> None:
    """Print the path of RUN's HTML page, which is rendered at the first request.

    RUN can be shortened to a unique prefix. Trials of a sweep have no page until then, because rendering takes longer
    than a short trial. The page of a sweep's parent run is its summary.
    """
    from notebooks_lib import settings
    from notebooks_lib.review.store_trust import connect_unless_chosen_by_branch
    from notebooks_lib.running import notebook_page
    from notebooks_lib.tracking import query

    project = settings.existing()
    store = connect_unless_chosen_by_branch(project)
    run = query.get_run(store, query.whole_id(store, run_id))
    path = notebook_page.fetch_page(store, run.run_id)
    click.echo(output.path(path))
    if in_browser:
        click.launch(path.as_uri())
