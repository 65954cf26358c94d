"""Small tables for the tests of datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from notebooks_lib.settings import Settings


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"id": range(rows), "x": random.normal(size=rows), "y": random.normal(size=rows)})


def csv(folder: Path, table: pd.DataFrame, name: str = "t.csv") -> Path:
    table.to_csv(folder / name, index=False)
    return folder / name


def visible(settings: Settings) -> list[str]:
    return sorted(str(path.relative_to(settings.root)) for path in settings.data_folder.rglob("*"))
