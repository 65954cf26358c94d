"""What the files of online endpoints say for one stage: defaults, the general file, then that of the stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notebooks_lib.azure.project_files import file_check
from notebooks_lib.azure.project_files.file_kinds import FileKind


def read_stage_values(root: Path, stage: str, kind: FileKind, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what holds for one stage, with each `${NAME}` filled in from the environment.

    Raises UsageError with all faults of a file.
    """
    place, name = file_check.folder(root), f"{kind.name}.yml"
    file_check.valid_values(place / name, kind, root, environ)  # for its faults: the stage's own inherits its values
    return file_check.valid_values(place / stage / name, kind, root, environ)
