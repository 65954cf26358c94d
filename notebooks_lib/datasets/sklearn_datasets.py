"""The tables that ship with scikit-learn, as datasets of one version each. It fetches nothing."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import canonical_types, splits, table_hashing
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.settings.sections import Data

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = "scikit-learn"
_LOADER = "load_"
_HASHED_DECIMALS = 10


class SklearnDatasets:
    """A `DatasetSource` of scikit-learn's tables. Settings do not change how they are split."""

    def names(self) -> list[str]:
        """Return the names of scikit-learn's tables: `load_*` functions that give a data frame and need no argument."""
        from sklearn import datasets

        return sorted(
            attribute.removeprefix(_LOADER)
            for attribute in datasets.__all__
            if attribute.startswith(_LOADER) and _gives_a_frame(getattr(datasets, attribute))
        )

    def versions(self, name: str) -> list[int]:
        """Return [1] for a table of scikit-learn, else an empty list."""
        return [1] if name in self.names() else []

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata, computed from the table."""
        return self.read(name, version).metadata

    def read(self, name: str, version: int) -> VersionContent:
        """Return the table that `sklearn.datasets.load_<name>(as_frame=True)` gives."""
        from sklearn import datasets

        bunch = getattr(datasets, _LOADER + name)(as_frame=True)
        # scikit-learn scales some tables when it loads them: their last bit may differ between machines.
        hashed = _table(bunch.frame.round(_HASHED_DECIMALS))
        digests = table_hashing.Digests.of(hashed)
        table = _table(bunch.frame)
        lines = (line.strip() for line in bunch.DESCR.splitlines())
        defaults = Data()
        metadata = Metadata(
            fingerprint=table_hashing.fingerprint(hashed, digests.plain),
            rows=len(table),
            columns=canonical_types.kinds(table),
            validation_share=defaults.validation_share,
            holdout_share=defaults.holdout_share,
            parts=splits.KINDS_DECIDE,
            target=getattr(bunch.target, "name", None),  # None for a table with several
            description=next((line for line in lines if line and line[0] not in ".-=:"), ""),
            source=ORIGIN,
        )
        return VersionContent(metadata, table, digests=digests)

    def origin(self, name: str) -> str:
        """Return "scikit-learn", where all bundled tables come from."""
        return ORIGIN

    def location(self, name: str, version: int) -> str:
        """Return the name of the scikit-learn function that loads the table."""
        return f"sklearn.datasets.{_LOADER}{name}"

    def remedy(self, name: str, version: int) -> str:
        """Return advice for a table that is not what it was when the package was installed."""
        return "install scikit-learn again"


def _gives_a_frame(load: Any) -> bool:
    parameters = inspect.signature(load).parameters
    return "as_frame" in parameters and all(
        parameter.default is not inspect.Parameter.empty for parameter in parameters.values()
    )


def _table(frame: Any) -> pa.Table:
    import pyarrow as pa

    return canonical_types.normalise(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))
