"""What the submitter of a job tells the `nbops run` in it: parameters, tags, user and commit, which no file holds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import expressions
from notebooks_lib.running.plan import Plan
from notebooks_lib.tags import Env
from notebooks_lib.tracking import provenance


@dataclass(frozen=True)
class JobRequest:
    """The parameters of a job's notebook, the tags of its run, and who runs which commit."""

    values: Mapping[str, object]
    """The parameter values that replace the notebook's own."""
    user: str
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    """The tags that its run gets besides those of every run, such as a trial's."""

    @classmethod
    def of(cls, plan: Plan) -> JobRequest:
        """Return the request for a plan that was made on this machine."""
        tags = dict(plan.start.tags or {}) if plan.start else {}
        return cls.by(plan.start.git if plan.start else None, plan.overrides, tags)

    @classmethod
    def by(
        cls, git: provenance.Git | None, values: Mapping[str, object], tags: Mapping[str, str] | None = None
    ) -> JobRequest:
        """Return the request of the user of this process for code in this state."""
        user = provenance.source_tags("", None, "")["mlflow.user"]
        if git is None:
            return cls(dict(values), user, tags=tags or {})
        return cls(dict(values), user, git.commit, git.branch, git.dirty, tags or {})

    @classmethod
    def received(cls, environ: Mapping[str, str]) -> JobRequest | None:
        """Return the request that this job got; None outside a job of ours, and in the kernel of its notebook."""
        text = environ.get(Env.JOB)
        if not text or Env.OWNER_RUN in environ:
            return None
        content = json.loads(text)
        return cls(**content | {"values": expressions.read_text(content["values"])})

    def as_text(self) -> str:
        """Return the request as the text of a variable. Raises UsageError for a value that is no Python literal.

        The values are written as Python, because JSON has no tuples, no sets, and no keys but texts.
        """
        try:
            return json.dumps(vars(self) | {"values": expressions.write_literal(self.values)})
        except expressions.NotConstant:
            raise errors.UsageError("a parameter cannot be sent to a job: its value is no Python literal") from None


def adopting(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """Return the plan of a run in a job, which adopts the job's run; the same plan outside a job.

    A kernel inherits the variables of the job, whose run then lives already: a run from a cell opens one of its own.
    """
    run_id = environ.get("AZUREML_RUN_ID", "")
    if plan.start is None or not run_id or run_id != environ.get("MLFLOW_RUN_ID") or Env.OWNER_RUN in environ:
        return plan
    changes: dict[str, Any] = {"run_id": run_id}
    if request := JobRequest.received(environ):
        changes["tags"] = {**(plan.start.tags or {}), **request.tags}
    return dataclasses.replace(plan, start=dataclasses.replace(plan.start, **changes))
