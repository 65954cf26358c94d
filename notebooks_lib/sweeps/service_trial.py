"""A trial of Azure ML's sweep job, from inside its job: which one it is, and the values that the service has chosen."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from notebooks_lib import errors
from notebooks_lib.azure.jobs import sweep_job
from notebooks_lib.notebooks.parameter_schema import Schema
from notebooks_lib.sweeps import search_space, service_search_space
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace, ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace, SearchSpace
from notebooks_lib.sweeps.trial_runner import trial_name, trial_tags
from notebooks_lib.sweeps.trials import Proposal
from notebooks_lib.tags import Env

_NUMBER = re.compile(r".*_(\d+)")


@dataclass(frozen=True)
class SweptParameters:
    """What is sent to the trials of a sweep job: each swept parameter with its values or its distribution."""

    kind: Literal["grid", "space"]
    described: Mapping[str, str]

    @classmethod
    def of(cls, swept: ParameterGrid | ParameterSpace) -> SweptParameters:
        """Describe a grid or a space."""
        return cls("grid" if isinstance(swept, ParameterGrid) else "space", swept.described)

    def search_space(self, schema: Schema) -> SearchSpace:
        """Return the search space again. Raises ParameterError if it does not fit the notebook."""
        texts = [f"{name}={text}" for name, text in self.described.items()]
        relaxed = schema.without_required({parameter.name for parameter in schema.parameters})
        return search_space.read_search_space(relaxed, **{self.kind: texts})  # type: ignore[arg-type]

    def as_text(self, sweep: str) -> str:
        """Return the text of the variable for the trials of this sweep."""
        return json.dumps({"sweep": sweep, self.kind: dict(self.described)})


@dataclass(frozen=True)
class ServiceTrial:
    """The trial that runs in this job."""

    sweep: str
    """The id of the sweep's run."""
    proposal: Proposal

    @classmethod
    def received(cls, environ: Mapping[str, str], schema: Schema) -> ServiceTrial:
        """Return the trial of this job. Raises UsageError for values that the sweep was not submitted with."""
        content = json.loads(environ[Env.SWEEP])
        kind: Literal["grid", "space"] = "grid" if "grid" in content else "space"
        swept = SweptParameters(kind, content[kind])
        parameters = service_search_space.translate(swept.search_space(schema).swept)
        texts = {name: environ[key] for name in parameters if (key := sweep_job.VARIABLE_PREFIX + name) in environ}
        try:
            values = service_search_space.read_values(parameters, texts)
        except InvalidSearchSpace as error:
            raise errors.UsageError(f"trial of sweep {content['sweep']}: {error}") from None
        return cls(content["sweep"], Proposal(trial_number(environ["AZUREML_RUN_ID"]), values))

    @property
    def tags(self) -> dict[str, str]:
        """The tags by which its run is a trial like any other."""
        return trial_tags(self.sweep, self.proposal)

    def name(self, stem: str) -> str:
        """Return the name of its run; `stem` is the notebook's file name without ending."""
        return trial_name(stem, self.proposal)


def trial_number(run_id: str) -> int:
    """Return the number of a trial, from 0, which ends its job's name; for another name, one that few others get."""
    found = _NUMBER.fullmatch(run_id)
    return int(found[1]) if found else zlib.crc32(run_id.encode())
