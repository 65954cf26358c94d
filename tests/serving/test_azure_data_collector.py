"""Azure's data collector from score.py: off unless the deployment turns it on, and never the caller's problem.

What it sends is tested with the real library, in test_scoring_server.py.
"""

from __future__ import annotations

import pytest

from notebooks_lib.serving.azure_data_collector import CONFIG, AzureDataCollector


def test_a_deployment_that_says_nothing_collects_nothing() -> None:
    assert AzureDataCollector.from_environment({"AZUREML_MDC_PORT": "50011"}, "3") is None


def test_without_the_library_each_request_is_counted_and_one_line_logged(caplog: pytest.LogCaptureFixture) -> None:
    collector = AzureDataCollector.from_environment({CONFIG: "/nowhere"}, "3")  # the library is not installed here
    assert collector is not None
    for _ in range(5):
        collector.offer("r1", "", "application/json", b"{}", b"{}")

    assert collector.failed == 5
    assert [record.getMessage() for record in caplog.records] == [
        "requests could not be collected, 1 so far; the last: No module named 'azureml.ai'"
    ]
