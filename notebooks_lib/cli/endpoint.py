"""`nbops endpoint`: control the endpoint that serves a model on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebooks_lib import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebooks_lib.serving.endpoint import EndpointStatus
    from notebooks_lib.serving.slots import SlotCounts
    from notebooks_lib.settings import Settings

_COLOURS = {"running": "green", "stopped": "yellow", "broken": "red"}


@click.group()
def command() -> None:
    """Start, stop and call the endpoint of a model, and split its traffic between slots.

    NAME is the name of the endpoint and of its model. It can be left out if there is only one endpoint.
    """


@command.command()
@click.argument("name", required=False)
def start(name: str | None) -> None:
    """Serve NAME again, with the same model, port and key as before.

    If NAME has never served, or has nothing to serve any more, serve the champion of the stage with this endpoint, or
    of the model NAME.
    """
    from notebooks_lib.release import manual
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    name = name or endpoint_state.only(here, None)
    with manual.recorded_traffic(here, name):
        status = endpoint.start(here, name)
    click.echo(f"{status.name} {'is now running' if status.changed else 'was running already'}")
    _print(status)


@command.command()
@click.argument("name", required=False)
def stop(name: str | None) -> None:
    """Stop the server of NAME. Its model, port and key are kept for the next start."""
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    status = endpoint.stop(here, endpoint_state.only(here, name))
    click.echo(f"{status.name} {'stopped' if status.changed else 'was not running'}")
    click.echo(f"  start again   nbops endpoint start {status.name}")


@command.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead.")
def status(name: str | None, as_json: bool) -> int:
    """Show what NAME serves, where, since when, and a curl command. Exit code 1 when it is broken."""
    from contextlib import suppress

    from notebooks_lib.errors import EndpointError
    from notebooks_lib.release import journal
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    found = endpoint.status(here, endpoint_state.only(here, name))
    if as_json:
        _json({key: value for key, value in found.as_json().items() if key != "changed"})
    else:
        click.echo(found.name)
        _print(found)
        counts = None
        if found.state == "running":
            with suppress(EndpointError):  # it has ended in the meantime
                counts = endpoint.measured(here, found.name)
        _print_slots(found, counts)
        for each in journal.unfinished(here):
            if each.change.get("endpoint") == found.name:
                click.echo(f"unfinished: {journal.describe(each)}; {journal.recovery_hint(each)}")
    return 1 if found.state == "broken" else 0


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
    from notebooks_lib.serving import endpoint, endpoint_state

    if data is not None and example:
        raise click.UsageError("give either --data or --example")
    here = _here()
    name = endpoint_state.only(here, name)
    payload = endpoint.example(here, name, slot=slot) if data is None else _payload(data)
    answer = endpoint.invoke(here, name, payload, slot=slot)
    if data is None and not as_json:
        click.echo(f"sent the model's example: {json.dumps(payload)}", err=True)
    _json(answer, indent=None if as_json else 2)


@command.command()
@click.argument("name", required=False)
@click.option("--version", default="", help="The version. Default: the champion of the endpoint's stage.")
@click.option("--slot", default="", help="The slot. Default: the one without traffic.")
def deploy(name: str | None, version: str, slot: str) -> None:
    """Load a registered version into a slot of NAME, without traffic. No champion mark moves.

    Its files must be the ones that were scored. A slot with traffic is not overwritten; a stopped server is started.
    """
    from notebooks_lib.release import manual
    from notebooks_lib.serving import endpoint_state

    here = _here()
    name = endpoint_state.only(here, name)
    chosen, status = manual.deploy_by_hand(here, name, version=version, slot=slot)
    there = status.slots[chosen]
    click.echo(f"slot {chosen!r} of {name} holds version {there.version}, with {there.traffic} % of the traffic")
    _print_slots(status)


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="SLOT=PERCENT...")
def traffic(name: str, shares: tuple[str, ...]) -> None:
    """Split the traffic of NAME between its slots, as in: blue=90 green=10.

    The percentages add up to 100, or to 0; other slots get nothing. The server keeps running, and `nbops history` shows
    the change.
    """
    from notebooks_lib.release import manual
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    with manual.recorded_traffic(here, endpoint_state.only(here, name)):
        status = endpoint.split(here, name, _shares(shares))
    _print_slots(status)


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="SLOT=PERCENT")
def mirror(name: str, shares: tuple[str, ...]) -> None:
    """Mirror a share of the requests to a slot of NAME without traffic, as in: green=20; green=0 ends it.

    Callers never get its answers: they are compared with those of the serving slot. `status` shows the result.
    """
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    _print_slots(endpoint.mirror(here, endpoint_state.only(here, name), _shares(shares)))


@command.command("delete-slot")
@click.argument("name")
@click.argument("slot")
def delete_slot(name: str, slot: str) -> None:
    """Delete SLOT of NAME; refused while it has traffic. Without any slot, the server stops."""
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    status = endpoint.delete(here, endpoint_state.only(here, name), slot)
    click.echo(f"{status.name} has no slot {slot!r} any more" + ("" if status.slots else "; it is stopped"))
    _print_slots(status)


@command.command()
@click.argument("name", required=False)
@click.option(
    "-n", "lines", default=50, show_default=True, type=click.IntRange(1), help="Number of lines, from the end."
)
def logs(name: str | None, lines: int) -> None:
    """Print the last lines of the server's log."""
    from notebooks_lib.serving import endpoint, endpoint_state

    here = _here()
    for line in endpoint.logs(here, endpoint_state.only(here, name), lines):
        click.echo(line)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_(as_json: bool) -> None:
    """List the endpoints of this project."""
    from notebooks_lib.cli import terminal
    from notebooks_lib.serving import endpoint

    found = endpoint.listed(_here())
    if as_json:
        _json([status.as_json() for status in found], indent=None)
    elif not found:
        click.echo("no endpoint yet; serve a model's champion with: nbops endpoint start MODEL")
    else:
        rows = [[each.name, each.state, each.version, each.address, each.since] for each in found]
        terminal.table(("endpoint", "state", "version", "address", "since"), rows)


def _here() -> Settings:
    from notebooks_lib import settings

    return settings.here()


def _payload(data: str) -> Any:
    from notebooks_lib.errors import InputError

    where = "--data"
    if data.startswith("@"):
        where = data[1:]
        try:
            data = sys.stdin.read() if where == "-" else Path(where).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{where}: cannot be read: {error}; give --data JSON or --data @FILE") from error
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}; give --data JSON or --data @FILE") from error


def _shares(given: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in given:
        slot, _, percent = share.partition("=")
        if not percent.isdecimal() or slot in found:
            raise click.UsageError(f"found {share!r}; expected each slot once with a whole number, as in blue=90")
        found[slot] = int(percent)
    return found


def _print_slots(status: EndpointStatus, counts: Mapping[str, SlotCounts] | None = None) -> None:
    from notebooks_lib.cli import terminal

    rows = []
    for name, slot in status.slots.items():
        done = (counts or {}).get(name)
        share = f"{slot.traffic} %" + (f", mirror {slot.mirror} %" if slot.mirror else "")
        rows.append([name, slot.version, share, slot.state, *(_done(done) if counts else [])])
    if rows:
        head = ("slot", "version", "traffic", "state")
        terminal.table((*head, "requests", "4xx", "5xx", "p50", "p95", "mirrored rows") if counts else head, rows)


def _done(counts: SlotCounts | None) -> list[str]:
    if counts is None:
        return [""] * 6
    milliseconds = [f"{1000 * each:.1f} ms" if each is not None else "" for each in (counts.p50, counts.p95)]
    mirrored = f"{counts.rows_different} of {counts.rows_compared} differ" if counts.rows_compared else ""
    return [str(counts.requests), str(counts.refused), str(counts.failed), *milliseconds, mirrored]


def _print(status: EndpointStatus) -> None:
    memory = f"{status.memory_mb:.0f} MB" if status.memory_mb is not None else ""
    facts = [
        ("state", click.style(status.state, fg=_COLOURS[status.state])),
        ("address", status.address),
        ("version", status.version),
        *((name.replace("_", " "), value) for name, value in status.detail.items()),
        ("since", status.since),
        ("process", f"{status.pid}, {memory}" if status.pid else ""),
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
