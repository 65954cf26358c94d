"""The registry of models, one door: versions and the marks on them. The work is done in versions.py and marks.py."""

from notebooks_lib.tracking.marks import PROD, champion, mark_champion, previous, was_champion, withdraw
from notebooks_lib.tracking.versions import Version, get, models, register, set_tags, versions

__all__ = [
    "PROD",
    "Version",
    "champion",
    "get",
    "mark_champion",
    "models",
    "previous",
    "register",
    "set_tags",
    "versions",
    "was_champion",
    "withdraw",
]
