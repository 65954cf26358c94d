"""What jobs share is sent once; each job is then one request, and runs once however often it is submitted."""

from __future__ import annotations

import dataclasses
import os

import pytest

from notebooks_lib.azure.jobs import jobs
from notebooks_lib.running import job_submission, plan
from notebooks_lib.running.job_template import make_template
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated

pytestmark = pytest.mark.tracking


def test_what_jobs_share_is_sent_once_and_each_job_is_one_request(
    azure_git_project: Settings, azure_server: Emulated
) -> None:
    path = azure_git_project.root / "experimentation" / "n.ipynb"
    plans = [plan.make_plan(path, azure_git_project, {"alpha": alpha}) for alpha in (1.0, 2.0)]
    template = make_template(plans[0], "azureml:serverless", os.environ)
    template = dataclasses.replace(template, properties={**template.properties, "command": "true"})
    submitter = job_submission.prepare_workspace(template, azure_git_project.root, os.environ)
    began = azure_server.record.position()
    names = []
    for each in plans:
        described = template.describe(each)
        submitter.submit(described)
        submitter.submit(described)  # as after an answer that was lost
        names.append(described.name)

    sent = [seen for seen in azure_server.record.since(began) if seen.method not in ("GET", "CONNECT")]
    assert {seen.path.rpartition("/")[2] for seen in sent if seen.status == 201} == set(names)
    assert all("/jobs/" in seen.path or "token" in seen.path for seen in sent)
    assert all(job_submission.is_submitted(template.workspace, name) for name in names)
    assert not job_submission.is_submitted(template.workspace, "never")
    for name in names:
        assert jobs.find_job(submitter.client, submitter.workspace, name).notebook == "experimentation/n.ipynb"
