"""The folder of code that a deployment runs: score.py, and beside it the nbops that runs here."""

from __future__ import annotations

from pathlib import Path

import notebooks_lib
from notebooks_lib import errors
from notebooks_lib.azure.assets import snapshot
from notebooks_lib.azure.assets.snapshot import Snapshot

SCRIPT = "score.py"
ARCHIVE = "notebooks_lib.zip"
_LIBRARY = Path(notebooks_lib.__file__).parent


def scoring_code(root: Path) -> Snapshot:
    """Return the code of a deployment: production/scoring/score.py of the project, or else the one of nbops.

    Raises UsageError for a file that cannot be read.
    """
    # Not a wheel: its entry points would make MLflow import the tracking of runs.
    archive = snapshot.zipped(snapshot.package_files("*.py"))
    own = root / "production" / "scoring" / SCRIPT
    try:
        script = (own if own.exists() else _packed_script()).read_bytes()
    except OSError as error:
        raise errors.UsageError(f"{own} cannot be read: {error.strerror}") from error
    return Snapshot({SCRIPT: script, ARCHIVE: archive})


def _packed_script() -> Path:
    """Return the script in an installed nbops, or in its repository."""
    packed = _LIBRARY / "serving" / SCRIPT
    return packed if packed.exists() else _LIBRARY.parent / "production" / "scoring" / SCRIPT
