"""The registry of models, one door: versions and the marks on them. The work is done in versions.py and marks.py."""

from notebooks_lib.models.marks import PROD, champion, mark_champion, previous, rollback_command, was_champion, withdraw
from notebooks_lib.models.versions import Version, get, models, register, set_tags, versions

__all__ = [
    "PROD",
    "Version",
    "champion",
    "get",
    "mark_champion",
    "models",
    "previous",
    "register",
    "rollback_command",
    "set_tags",
    "versions",
    "was_champion",
    "withdraw",
]
