"""What is in force in a project: sections of production/settings.toml and NBOPS_* variables, as one frozen value."""

from notebooks_lib.settings.project import Settings, existing, find_root, here, is_project, load

__all__ = ["Settings", "existing", "find_root", "here", "is_project", "load"]
