"""Writes the files of many requests, reads them back as a table, and prints its rows and the memory that took, in MB."""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from notebooks_lib.serving.collected import collected_data
from notebooks_lib.serving.targets import open_collected
from notebooks_lib.settings import Settings

ROWS = 10_000


def write_files(folder: Path, number: int, began: datetime) -> None:
    for first in range(0, number, ROWS):
        for collection in ("model_inputs", "model_outputs"):
            inputs = collection == "model_inputs"
            documents = [
                {
                    "id": f"{collection}{each}",
                    "time": (began + timedelta(milliseconds=each)).isoformat(),
                    "data": json.dumps(
                        [{"a": each, "b": each / 7, "city": "Graz"} if inputs else {"prediction": each / 3}]
                    ),
                    "correlationid": f"{each:032d}",
                    "modelversion": "3",
                }
                for each in range(first, min(first + ROWS, number))
            ]
            file = folder / "houses" / "blue" / collection / began.strftime("%Y/%m/%d/%H") / f"{first}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pa.Table.from_pylist(documents), file)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(root: Path, number: int) -> None:
    settings = Settings(root=root)
    began = datetime.now(UTC) - timedelta(hours=1)
    write_files(settings.layout.collected, number, began)
    before, since = peak(), began - timedelta(days=1)
    written = collected_data.write_collected(
        open_collected(settings, "houses", since), "houses", root / "table.parquet", since
    )
    print(written.rows, peak() - before)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
