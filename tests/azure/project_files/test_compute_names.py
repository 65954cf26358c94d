"""`--on` names a compute in one form; what comes near to it is put right."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.project_files import compute_names


@pytest.mark.parametrize(
    ("on", "hint"),
    [
        ("azure:cpu", "did you mean azureml:cpu"),
        ("aml:cpu", "did you mean azureml:cpu"),
        ("azureml:", "azureml:NAME or azureml:serverless"),
        ("azureml", "azureml:NAME or azureml:serverless"),
        ("azureml:no_such", "azureml:NAME or azureml:serverless"),
        ("cpu", "azureml:NAME or azureml:serverless"),
    ],
)
def test_a_place_that_is_written_wrongly_is_refused_with_the_forms(on: str, hint: str) -> None:
    with pytest.raises(errors.UsageError, match=hint):
        compute_names.compute_name(on)
    assert compute_names.compute_name("azureml:gpu-4") == "gpu-4"
