"""The files by which a batch goes to Azure and back: parts with the rows of a mini-batch, parts with predictions.

Both have the same name, which is the number of the part. So the result has the order of the input, whatever the order
in which workers finish, and a mini-batch that is scored twice gives the same file. score.py uses this module, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.batch.batch_scorer import BatchScorer, ScoredBatch

if TYPE_CHECKING:
    import pyarrow as pa

_OUTPUT = "AZUREML_BI_OUTPUT_PATH"
"""The variable by which Azure names the folder of a batch's output."""
_PARAMS = b"nbops.params"
_CAUSE = "nbops.cause"
"""The column of a part of predictions that says why a row was refused."""


def part_name(number: int) -> str:
    """Return the name of a part, counted from 0."""
    return f"part-{number:06d}.parquet"


def write_part(folder: Path, number: int, table: pa.Table, params: Mapping[str, Any]) -> str:
    """Write the rows of a mini-batch with the parameters of the prediction; return the digest of the content."""
    from pyarrow import parquet

    path = folder / part_name(number)
    metadata = {_PARAMS: json.dumps(dict(params), sort_keys=True).encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def score_parts(model: ServedModel, files: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Score parts, as Azure's driver of batches asks for it; return the names of the parts that were written.

    Raises PredictionError for a model that does not answer: the mini-batch has failed, and Azure tries it again.
    """
    return [score_part(model, Path(file), Path(environ[_OUTPUT])) for file in files]


def score_part(model: ServedModel, source: Path, output: Path) -> str:
    """Score the rows of a part into a part of the same name in the folder `output`; return the name."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(source, partitioning=None)
    params = json.loads((table.schema.metadata or {}).get(_PARAMS, b"{}"))
    scored = BatchScorer(model, params).score(table)
    causes = pa.array([scored.refused.get(row) for row in range(len(table))], pa.string())
    parquet.write_table(scored.predictions.append_column(_CAUSE, causes), output / source.name, compression="zstd")
    return source.name


def read_part(content: bytes | bytearray) -> ScoredBatch:
    """Return the predictions in a part. Raises ValueError for content that is none."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content))
    if _CAUSE not in table.column_names:
        raise ValueError("it holds no predictions")
    refused = {row: cause for row, cause in enumerate(table[_CAUSE].to_pylist()) if cause is not None}
    return ScoredBatch(table.drop_columns([_CAUSE]), refused)
