"""`nbops endpoint`: control the endpoint that serves a model."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text
from notebooks_lib.cli.command_group import CommandGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebooks_lib.serving.endpoint import Endpoint, EndpointStatus
    from notebooks_lib.serving.request_counts import RequestCounts
    from notebooks_lib.settings import Settings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_COLOURS = {"running": "green", "stopped": "yellow", "broken": "red"}


@click.group(cls=CommandGroup)
def command() -> None:
    """Start, stop and call the endpoint of a model, and split its traffic between slots.

    NAME is the endpoint's: MODEL in prod, MODEL-STAGE in other stages, unless the settings say otherwise; STAGE:NAME
    names the stage, too. It can be left out if there is only one endpoint.
    """


@command.command()
@click.argument("name", required=False)
@_as_json
def start(name: str | None, as_json: bool) -> None:
    """Start NAME again, with the same model, address and key as before.

    If NAME has never been started, or has no slot left, it gets the champion of the stage whose endpoint it is, or of
    the model NAME.
    """
    from notebooks_lib.cli import output
    from notebooks_lib.release import manual_endpoint_changes

    output.show_endpoint_progress()
    status = manual_endpoint_changes.start_by_hand(_here(), name or _endpoint(None).name)
    if as_json:
        _json(status.as_json(), indent=None)
        return
    click.echo(f"{status.name} {'is now running' if status.changed else 'was running already'}")
    _print(status)


@command.command()
@click.argument("name", required=False)
@_as_json
def stop(name: str | None, as_json: bool) -> None:
    """Stop serving NAME. Its model, address and key are kept for the next start.

    On Azure its slots are deleted, so that they cost nothing; the next start deploys them again.
    """
    with _changed_by_hand(name) as endpoint:
        status = endpoint.stop()
    if as_json:
        _json(status.as_json(), indent=None)
        return
    click.echo(f"{status.name} {'stopped' if status.changed else 'was not running'}")
    click.echo(f"  start again   nbops endpoint start {status.name}")


@command.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead.")
def status(name: str | None, as_json: bool) -> int:
    """Show what NAME serves, where, since when, and a curl command. Exit code 1 when it is broken."""
    from contextlib import suppress

    from notebooks_lib.errors import AzureError, EndpointError, PromotionError, TrackingError
    from notebooks_lib.release import change_storage, journal

    endpoint = _endpoint(name)
    content = endpoint.status()
    if as_json:
        _json({key: value for key, value in content.as_json().items() if key != "changed"})
    else:
        click.echo(content.name)
        _print(content)
        counts = None
        if content.state == "running":
            with suppress(EndpointError):  # it has ended in the meantime
                counts = endpoint.counts()
        _print_slots(content, counts)
        try:
            for change in change_storage.unfinished_changes(_here()):
                if change.change.endpoint == content.name:
                    click.echo(f"unfinished: {journal.describe(change)}; {journal.recovery_hint(change)}")
        except (TrackingError, AzureError, PromotionError) as error:
            click.echo(f"whether a change of its stage is unfinished is not known: {error}")
    return 1 if content.state == "broken" else 0


@command.command()
@click.argument("name", required=False)
@click.option("--data", metavar="JSON|@FILE", help="The request: JSON text, @FILE, or @- for standard input.")
@click.option("--example", is_flag=True, help="Send the model's own example (the default without --data).")
@click.option("--slot", help="Send the request to this slot, whatever its traffic.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def invoke(name: str | None, data: str | None, example: bool, slot: str | None, as_json: bool) -> None:
    """Send a request to NAME and print the answer.

    The request has one of MLflow's formats (dataframe_split, dataframe_records, instances, inputs) or Azure's
    (input_data).
    """
    if data is not None and example:
        raise click.UsageError("give either --data or --example")
    endpoint = _endpoint(name)
    payload = endpoint.example(slot=slot) if data is None else _payload(data)
    answer = endpoint.invoke(payload, slot=slot)
    if data is None and not as_json:
        sent = safe_text.printable(json.dumps(payload, ensure_ascii=False))
        click.echo(f"sent the model's example: {sent}", err=True)
    _json(answer, indent=None if as_json else 2)


@command.command()
@click.argument("name", required=False)
@click.option("--version", default="", help="The version. Default: the champion of the endpoint's stage.")
@click.option("--slot", default="", help="The slot. Default: the one without traffic.")
@_as_json
def deploy(name: str | None, version: str, slot: str, as_json: bool) -> None:
    """Load a registered version into a slot of NAME, without traffic. The champion stays the same.

    The version's files must be those that were scored. A slot with traffic is not overwritten. A stopped server is
    started.
    """
    from notebooks_lib.cli import output
    from notebooks_lib.release import manual_endpoint_changes

    name = _endpoint(name).name
    output.show_endpoint_progress()
    chosen, status = manual_endpoint_changes.deploy_by_hand(_here(), name, version=version, slot=slot)
    if as_json:
        _json({**status.as_json(), "slot": chosen}, indent=None)
        return
    there = status.slots[chosen]
    click.echo(f"slot {chosen!r} of {name} holds version {there.version}, with {there.traffic} % of the traffic")
    _print_slots(status)


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="SLOT=PERCENT...")
@_as_json
def traffic(name: str, shares: tuple[str, ...], as_json: bool) -> None:
    """Split the traffic of NAME between its slots, as in: blue=90 green=10.

    The percentages add up to 100, or to 0; other slots get nothing. The server keeps running, and `nbops history` shows
    the change.
    """
    with _changed_by_hand(name) as endpoint:
        status = endpoint.set_traffic(_shares(shares))
    _show_slots(status, as_json=as_json)


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="SLOT=PERCENT")
@_as_json
def mirror(name: str, shares: tuple[str, ...], as_json: bool) -> None:
    """Mirror a share of the requests to a slot of NAME without traffic, as in: green=20; green=0 ends it.

    Callers never get the slot's answers: they are compared with those of the serving slot. `status` shows the result.
    """
    with _changed_by_hand(name) as endpoint:
        status = endpoint.set_mirror(_shares(shares))
    _show_slots(status, as_json=as_json)


@command.command("delete-slot")
@click.argument("name")
@click.argument("slot")
@_as_json
def delete_slot(name: str, slot: str, as_json: bool) -> None:
    """Delete SLOT of NAME, unless it has traffic. When no slot is left, the server stops."""
    with _changed_by_hand(name) as endpoint:
        status = endpoint.delete_slot(slot)
    if not as_json:
        click.echo(f"{status.name} has no slot {slot!r} any more" + ("" if status.slots else "; it is stopped"))
    _show_slots(status, as_json=as_json)


@command.command()
@click.argument("name", required=False)
@click.option(
    "-n", "lines", default=50, show_default=True, type=click.IntRange(1), help="Number of lines, from the end."
)
@click.option("--slot", help="The slot, where each has a log: on Azure. Default: the one with most traffic.")
def logs(name: str | None, lines: int, slot: str | None) -> None:
    """Print the last lines of the log of NAME."""
    endpoint = _endpoint(name)
    if slot is not None and not endpoint.capabilities.logs_by_slot:
        click.echo(f"note: all slots of {endpoint.name} share one log", err=True)
    for line in endpoint.logs(lines, slot=slot):
        click.echo(line)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_(as_json: bool) -> None:
    """List the endpoints of this project."""
    from notebooks_lib.cli import output
    from notebooks_lib.serving import targets

    statuses = [endpoint.status() for endpoint in targets.endpoints(_here()).values()]
    if as_json:
        _json([status.as_json() for status in statuses], indent=None)
    elif not statuses:
        click.echo("no endpoint yet; serve a model's champion with: nbops endpoint start MODEL")
    else:
        rows = [[status.name, status.state, status.version, status.address, status.since] for status in statuses]
        output.table(("endpoint", "state", "version", "address", "since"), rows)


def _here() -> Settings:
    from notebooks_lib import settings

    return settings.here()


def _endpoint(name: str | None) -> Endpoint:
    """Return the endpoint that a command names; without a name, the only one."""
    from notebooks_lib.serving import targets

    return targets.choose_endpoint(_here(), name)


@contextmanager
def _changed_by_hand(name: str | None) -> Iterator[Endpoint]:
    """Lock the stage of the endpoint that a command names, within the block in which it is changed."""
    from notebooks_lib.cli import output
    from notebooks_lib.release import manual_endpoint_changes

    output.show_endpoint_progress()
    endpoint = _endpoint(name)
    with manual_endpoint_changes.changed_by_hand(_here(), endpoint):
        yield endpoint


def _payload(data: str) -> Any:
    from notebooks_lib.errors import InputError

    where = "--data"
    if data.startswith("@"):
        where = data[1:]
        try:
            data = sys.stdin.read() if where == "-" else Path(where).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise InputError(f"--data @{where}: {cause}; give --data JSON or --data @FILE") from error
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}; give --data JSON or --data @FILE") from error


def _shares(texts: tuple[str, ...]) -> dict[str, int]:
    shares_by_slot: dict[str, int] = {}
    for share in texts:
        slot, _, percent = share.partition("=")
        if not percent.isdecimal() or slot in shares_by_slot:
            raise click.UsageError(f"found {share!r}; expected each slot once with a whole number, as in blue=90")
        shares_by_slot[slot] = int(percent)
    return shares_by_slot


def _show_slots(status: EndpointStatus, *, as_json: bool) -> None:
    if as_json:
        _json(status.as_json(), indent=None)
    else:
        _print_slots(status)


def _print_slots(status: EndpointStatus, counts: Mapping[str, RequestCounts] | None = None) -> None:
    from notebooks_lib.cli import output

    rows = []
    for name, slot in status.slots.items():
        done = (counts or {}).get(name)
        share = f"{slot.traffic} %" + (f", mirror {slot.mirror} %" if slot.mirror else "")
        rows.append([name, slot.version, share, slot.state, *(_done(done) if counts else [])])
    if rows:
        head = ("slot", "version", "traffic", "state")
        output.table((*head, "requests", "4xx", "5xx", "p50", "p95", "mirrored rows") if counts else head, rows)


def _done(counts: RequestCounts | None) -> list[str]:
    if counts is None:
        return [""] * 6
    milliseconds = [f"{1000 * change:.1f} ms" if change is not None else "" for change in (counts.p50, counts.p95)]
    mirrored = f"{counts.rows_different} of {counts.rows_compared} differ" if counts.rows_compared else ""
    return [str(counts.requests), str(counts.refused), str(counts.failed), *milliseconds, mirrored]


def _print(status: EndpointStatus) -> None:
    facts = [
        ("state", click.style(status.state, fg=_COLOURS[status.state])),
        ("address", status.address),
        ("version", status.version),
        ("model", status.detail.model),
        ("run id", status.detail.run_id),
        ("dataset", status.detail.dataset),
        ("reason", status.detail.reason),
        ("files", status.detail.files),
        ("since", status.since),
        *status.facts.items(),
        ("last error", status.last_error),
    ]
    if status.state == "running":
        facts += [
            ("invoke", f"nbops endpoint invoke {status.name}"),
            ("curl", status.curl),
            ("stop", f"nbops endpoint stop {status.name}"),
        ]
    else:
        facts += [("logs", f"nbops endpoint logs {status.name}"), ("start", f"nbops endpoint start {status.name}")]
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        if value not in ("", None):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            shown = text if label == "state" else safe_text.printable(text)  # the one with a colour of ours
            click.echo(f"  {label:<{width}}  {shown}")


def _json(value: Any, indent: int | None = 2) -> None:
    sys.stdout.write(json.dumps(value, indent=indent, default=str) + "\n")
