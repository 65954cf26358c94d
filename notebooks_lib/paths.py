"""Where the files of a project lie. It makes no folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths under a project root."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder of everything made at run time; git ignores it."""
        return self.root / ".nbops"

    @property
    def database(self) -> Path:
        """The SQLite database of runs and models, when no other store is set."""
        return self.state / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of the artifacts of runs, when no other store is set."""
        return self.state / "artifacts"

    @property
    def executed(self) -> Path:
        """The folder of executed notebooks."""
        return self.state / "executed"

    @property
    def endpoints(self) -> Path:
        """State of local endpoints: a folder each."""
        return self.state / "endpoints"

    @property
    def collected(self) -> Path:
        """The folder of the requests and answers that endpoints collect, where the settings ask for it."""
        return self.state / "collected"

    @property
    def scoring(self) -> Path:
        """Environments in which models were tried as Azure would serve them: a folder each."""
        return self.state / "scoring"

    @property
    def batches(self) -> Path:
        """Rows and models of batches that run: a folder each."""
        return self.state / "batches"

    @property
    def changes(self) -> Path:
        """Journals of promotions and rollbacks: a folder for each model, in it one for each stage."""
        return self.state / "changes"

    @property
    def sweeps(self) -> Path:
        """Files of sweeps: their locks, and the journals of their studies."""
        return self.state / "sweeps"

    @property
    def azure(self) -> Path:
        """The folder in which the tracking URIs of Azure ML workspaces are cached."""
        return self.state / "azure"

    @property
    def pulled_datasets(self) -> Path:
        """Dataset versions that were pulled from Azure ML workspaces: a folder for each workspace."""
        return self.azure / "datasets"

    @property
    def settings_file(self) -> Path:
        """The file of the project's settings."""
        return self.root / "production" / "settings.toml"

    @property
    def lock(self) -> Path:
        """The lock file, requirements.lock: the exact version of each package of the environment."""
        return self.root / "requirements.lock"
