"""What an endpoint collected, as one table in a file: inputs, predictions, version, slot, time and request id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.serving.collected import collected_records, collected_requests, collected_table
from notebooks_lib.serving.collected.collected_columns import OWN, CollectedColumns, Row, input_row, prediction_row
from notebooks_lib.serving.collected.collected_labels import LabelIndex, LabelTable, key_text
from notebooks_lib.serving.collected.collected_records import Damages

if TYPE_CHECKING:
    from notebooks_lib.serving.collected.collected_files import Opened
    from notebooks_lib.serving.collected.collected_requests import JoinedRequest, JoinedRequests


@dataclass
class CollectedData:
    """What was read and written."""

    endpoint: str
    file: str
    since: datetime
    requests: int = 0
    rows: int = 0
    """Rows of the file."""
    first: datetime | None = None
    last: datetime | None = None
    slots: set[str] = field(default_factory=set)
    without_prediction: int = 0
    """Requests whose predictions were not collected, or got lost; their rows have none."""
    other_number: int = 0
    """Requests with another number of predictions than rows; likewise."""
    predictions_alone: int = 0
    """Predictions whose inputs were not collected; left out."""
    in_several_slots: int = 0
    """Requests that several slots answered, as mirrored ones are; each has its rows."""
    repeated_records: int = 0
    """Records that were delivered twice; left out."""
    labelled: int = 0
    unlabelled: int = 0
    """Rows without a label; left out."""
    earlier: int = 0
    """For training: labelled rows that were left out because a later row has the same key."""
    labels: LabelIndex | None = None
    columns: CollectedColumns = field(default_factory=CollectedColumns)
    damages: Damages = field(default_factory=Damages)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops data collected --json` prints."""
        plain = ("endpoint", "file", "requests", "rows", "without_prediction", "other_number", "predictions_alone")
        counts = {name: getattr(self, name) for name in (*plain, "in_several_slots", "repeated_records")}
        return {
            **counts,
            **{name: at.isoformat() if (at := getattr(self, name)) else None for name in ("since", "first", "last")},
            "slots": sorted(self.slots),
            "versions": sorted(self.columns.versions),
            "columns": {name: self.columns.own_name(name) for name in (*OWN, *self.columns.predictions)},
            "labels": None if self.labels is None else self._labels_as_json(self.labels),
            "remarks": self.columns.remarks(),
            "damaged_records": self.damages.count,
            "damaged": self.damages.as_json(),
        }

    def _labels_as_json(self, index: LabelIndex) -> dict[str, Any]:
        counted = {name: getattr(self, name) for name in ("labelled", "unlabelled", "earlier")}
        of_file = {"unused": index.unused, "repeated": index.repeated, "without_key": index.without_key}
        return {"file": str(index.labels.file), "key": index.labels.key, **counted, **of_file, "empty": index.empty}


def write_collected(
    opened: Opened,
    endpoint: str,
    file: Path,
    since: datetime,
    *,
    labels: LabelTable | None = None,
    training: bool = False,
) -> CollectedData:
    """Write what an endpoint collected since a time to a file, in the order of time; return what was written.

    With `labels`, rows without one are left out. With `training`, so is all but inputs and labels, and of the labelled
    rows of one key only the last stays. The file is complete or not written. Raises EndpointError when nothing was
    collected, DatasetError when no row has a label, UsageError for labels that do not fit, AzureError.
    """
    written = CollectedData(endpoint, str(file), since)
    with collected_requests.joining(since) as requests:
        requests.add(collected_records.read_records(opened, written.damages))
        for request in requests:
            _count(written, request)
        if not written.requests:
            raise errors.EndpointError(_nothing(written))
        written.repeated_records = requests.repeated
        written.predictions_alone = requests.predictions_alone()
        written.in_several_slots = requests.in_several_slots()
        if labels is not None:
            written.labels = labels.index(written.columns, requests.database, training=training)
            _choose(written, written.labels, requests)
        table = None if labels is None else labels.table
        schema = written.columns.schema([] if table is None else [*table.schema], training=training)
        rows = _rows(written, requests, training=training)
        written.rows = collected_table.write_table(file, endpoint, schema, rows, table)
    return written


def _nothing(written: CollectedData) -> str:
    damaged = f"; {written.damages.count} damaged records were found" if written.damages.count else ""
    since = written.since.isoformat(timespec="seconds")
    return (
        f"endpoint {written.endpoint!r} collected nothing since {since}{damaged}: "
        "`collect` under [endpoint], on Azure `data_collector` in deployment.yml, turns collecting on, and a request "
        "comes up to minutes later"
    )


def _count(written: CollectedData, request: JoinedRequest) -> None:
    written.requests += 1
    written.without_prediction += not request.answered
    written.other_number += request.answered and request.predictions is None
    written.first = written.first or request.at
    written.last = request.at
    written.slots.add(request.slot)
    predictions = [prediction_row(row) for row in request.predictions or ()]
    written.columns.see([input_row(row) for row in request.inputs], predictions, request.version)


def _choose(written: CollectedData, index: LabelIndex, requests: JoinedRequests) -> None:
    """Count the rows with a label, and remember the last row of each key. Raises DatasetError if none has one."""
    example: object = None
    for request in requests:
        for place, row in enumerate(request.inputs):
            key = _key(index, written.columns, request, input_row(row))
            example = key if example is None else example
            if index.place(key) is None:
                written.unlabelled += 1
            else:
                written.labelled += 1
                requests.choose(str(key_text(key)), request.number, place)
    index.unused = requests.unused_labels()
    if not written.labelled:
        keys = f"their {index.labels.key} is such as {example!r}" if example is not None else "they have no such key"
        raise errors.DatasetError(
            f"{index.labels.file} has a label for none of {written.unlabelled} collected rows; {keys}"
        )


def _key(index: LabelIndex, columns: CollectedColumns, request: JoinedRequest, row: Row) -> object:
    """Return the value of the key in a row. A request's id names its row only if there is one."""
    key = index.labels.key
    if key in columns.inputs:
        return columns.inputs[key].convert(row.get(key))
    return request.request if len(request.inputs) == 1 else None


def _rows(
    written: CollectedData, requests: JoinedRequests, *, training: bool
) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    """Yield the rows of the table in the types of its columns, each with the place of its label."""
    columns, index = written.columns, written.labels
    names = [columns.own_name(name) for name in OWN]
    ours = {name: columns.own_name(name) for name in columns.predictions}
    for request in requests:
        predictions = request.predictions or [{}] * len(request.inputs)
        for place, (given, predicted) in enumerate(zip(request.inputs, predictions, strict=True)):
            row = input_row(given)
            label = None
            if index is not None:
                key = _key(index, columns, request, row)
                label = index.place(key)
                if label is None:
                    continue
                if training and not requests.is_chosen(str(key_text(key)), request.number, place):
                    written.earlier += 1
                    continue
            values = {name: columns.inputs[name].convert(value) for name, value in row.items()}
            if not training:
                own = (request.request, place, request.at, request.slot, request.version)
                values |= dict(zip(names, own, strict=True))
                answer = prediction_row(predicted) if request.predictions else {}
                values |= {ours[name]: columns.predictions[name].convert(value) for name, value in answer.items()}
            yield values, label
