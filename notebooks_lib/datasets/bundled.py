"""The tables that ship with scikit-learn, found by introspection. It never calls anything that would fetch."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import hashing

if TYPE_CHECKING:
    import pyarrow as pa

_LOADER = "load_"
_HASHED_DECIMALS = 10


@dataclass(frozen=True)
class Bundled:
    """One of scikit-learn's tables."""

    table: pa.Table
    hashed: pa.Table
    """The same with numbers rounded to 10 decimals: what fingerprint and parts are computed from."""
    target: str | None
    """None for a table with several."""
    description: str


def names() -> list[str]:
    """The bundled tables: `load_*` functions that can give a data frame and need no argument."""
    from sklearn import datasets

    found = []
    for attribute in datasets.__all__:
        if attribute.startswith(_LOADER):
            parameters = inspect.signature(getattr(datasets, attribute)).parameters
            needed = [one for one in parameters.values() if one.default is inspect.Parameter.empty]
            if "as_frame" in parameters and not needed:
                found.append(attribute.removeprefix(_LOADER))
    return sorted(found)


def load(name: str) -> Bundled:
    """The table that `sklearn.datasets.load_<name>(as_frame=True)` gives; `name` is one of `names()`."""
    import pyarrow as pa
    from sklearn import datasets

    bunch = getattr(datasets, _LOADER + name)(as_frame=True)

    def plain(frame: Any) -> pa.Table:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        return hashing.normalise(table.replace_schema_metadata(None))

    lines = (line.strip() for line in bunch.DESCR.splitlines())
    return Bundled(
        table=plain(bunch.frame),
        # scikit-learn computes some tables (scales them) on loading: their last bit may differ between machines.
        hashed=plain(bunch.frame.round(_HASHED_DECIMALS)),
        target=getattr(bunch.target, "name", None),
        description=next((line for line in lines if line and line[0] not in ".-=:"), ""),
    )
