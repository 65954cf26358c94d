"""What is in force in a project: sections of production/settings.toml and NBOPS_* variables, as one frozen value."""

from notebooks_lib.project_root import find_root, is_project
from notebooks_lib.settings.project import Settings, existing, here, load

__all__ = ["Settings", "existing", "find_root", "here", "is_project", "load"]
