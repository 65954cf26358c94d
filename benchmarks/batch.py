"""How fast `nbops batch run` scores a large file, and in how much memory, beside a plain script of pandas.

python -m benchmarks.batch [--rows 10000000] [--formats parquet,csv]

The same model, file and predictions. The script is what people write first: read the file, load the model with MLflow,
predict, write the predictions. Both run in processes of their own, one after the other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 5
POLL = 0.05
"""Seconds between two looks at the memory of a process."""
PLAIN = """
import sys, mlflow.pyfunc, pandas as pd
model, source, output = sys.argv[1:]
read = pd.read_csv if source.endswith(".csv") else pd.read_parquet
frame = read(source)
frame["prediction"] = mlflow.pyfunc.load_model(model).predict(frame)
frame[["prediction"]].to_parquet(output)
"""


def prepare(folder: Path, rows: int, suffix: str) -> Path:
    """Make a project with a champion, and the file to score; return the folder of the model."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv, parquet
    from sklearn.linear_model import Ridge

    from notebooks_lib import settings
    from notebooks_lib.models import champions, logged_models, registry
    from notebooks_lib.tracking.store import connect

    random = np.random.default_rng(0)
    names = [f"x{number}" for number in range(COLUMNS)]
    x = pd.DataFrame(random.normal(size=(1000, COLUMNS)), columns=names)
    store = connect(settings.load(folder, {}))
    run = str(store.client.create_run(store.experiment_id("bench")).info.run_id)
    logged_models.log_model(store, run, Ridge().fit(x, x.sum(axis=1)), example=x[:3])
    version = registry.register(store, "bench", run)
    champions.mark_champion(store, version, reason="measured")
    schema = pa.schema([(name, pa.float64()) for name in names])
    path = folder / f"rows.{suffix}"
    writer = parquet.ParquetWriter(path, schema) if suffix == "parquet" else csv.CSVWriter(path, schema)
    for _ in range(max(1, rows // 100_000)):
        writer.write_table(pa.table(random.normal(size=(COLUMNS, 100_000)).tolist(), schema=schema))
    writer.close()
    return Path(version.source.removeprefix("file://"))


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of a process. Raises RuntimeError when it fails.

    The peak is read while it runs: what the system counts of a child at its end begins with the memory of this process.
    """
    began, peak = time.monotonic(), 0.0
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max(peak, int((status.partition("VmHWM:")[2].split() or ["0"])[0]) / 1024)
        time.sleep(POLL)
    if process.returncode:
        raise RuntimeError(f"{command} ends with {process.returncode}")
    return time.monotonic() - began, peak


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--formats", default="parquet,csv")
    options = parser.parse_args()
    print("| file | who | s | rows a second | peak memory, MB |\n|---|---|---:|---:|---:|")
    for suffix in options.formats.split(","):
        with tempfile.TemporaryDirectory(prefix="nbops-bench-") as scratch:
            folder = Path(scratch)
            (folder / "production").mkdir()
            (folder / "production" / "settings.toml").write_text('[project]\nname = "bench"\n')
            model = prepare(folder, options.rows, suffix)
            source = f"rows.{suffix}"
            plain = [sys.executable, "-c", PLAIN, str(model), source, "plain.parquet"]
            ours = [sys.executable, "-m", "notebooks_lib", "batch", "run", "bench", "--data", source, "-o", "o.parquet"]
            for who, command in {"pandas script": plain, "`nbops batch run`": ours}.items():
                seconds, memory = measure(command, folder)
                print(
                    f"| {suffix} | {who} | {seconds:.1f} | {options.rows / seconds:,.0f} | {memory:,.0f} |", flush=True
                )
            import pyarrow.parquet as parquet

            one, other = (parquet.read_table(folder / name)["prediction"] for name in ("plain.parquet", "o.parquet"))
            assert one.equals(other), "the predictions differ"


if __name__ == "__main__":
    main()
