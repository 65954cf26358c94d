from notebooks_lib import datasets as datasets
from notebooks_lib import metrics as metrics
from notebooks_lib import tracking as tracking
from notebooks_lib.active_run import Run as Run
from notebooks_lib.active_run import run as run
from notebooks_lib.metrics.metric import Metric as Metric
from notebooks_lib.notebooks.secret_str import SecretStr as SecretStr
from notebooks_lib.notebooks.secret_str import secret as secret
from notebooks_lib.promotion import run_ranking as compare
from notebooks_lib.release.gate import Gate as Gate
from notebooks_lib.tags import Tag as Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import connect as connect

__version__: str
__all__ = [
    "Gate",
    "Metric",
    "Run",
    "SecretStr",
    "Tag",
    "compare",
    "connect",
    "datasets",
    "metrics",
    "query",
    "run",
    "secret",
    "tracking",
]
