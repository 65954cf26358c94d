"""An endpoint that is started, and given a version, by hand."""

from __future__ import annotations

import shutil
import socket

import pytest

from notebooks_lib.errors import EndpointError, UnknownNameError
from notebooks_lib.models import champions, registry
from notebooks_lib.models import logged_models as models
from notebooks_lib.release import manual_endpoint_changes
from notebooks_lib.serving import local_endpoint_folder
from notebooks_lib.serving.endpoint import DeploymentDetail
from notebooks_lib.serving.endpoint_state import EndpointState
from notebooks_lib.serving.targets import endpoint_for
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import connect

pytestmark = pytest.mark.tracking


def test_the_first_start_serves_the_champion(project: Settings) -> None:
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    store = connect(project)
    with pytest.raises(UnknownNameError, match="endpoint or model 'sampl'"):
        manual_endpoint_changes.start_by_hand(project, "sampl")
    run = store.client.create_run(store.experiment_id("e")).info.run_id
    store.client.set_tag(run, Tag.DATASET_PREFIX + "sample", "sample@2#abcdef")
    x = pd.DataFrame({"a": [0.0, 1.0, 2.0]})
    models.log_model(store, run, LinearRegression().fit(x, [1.0, 3.0, 5.0]), example=x)
    version = registry.register(store, "sample", run)
    with pytest.raises(EndpointError, match="no champion yet"):
        manual_endpoint_changes.start_by_hand(project, "sample")
    champions.mark_champion(store, version, reason="the only one")
    with pytest.raises(EndpointError, match="no champion in dev yet; make one with: nbops promote --live --stages dev"):
        manual_endpoint_changes.start_by_hand(project, "sample-dev")
    assert manual_endpoint_changes.find_champion(project, "sample").detail.model == "sample"

    # The endpoint of a stage, all of whose slots were deleted: its port stays.
    champions.mark_champion(store, version, reason="the only one", stage="dev")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("sample-dev", "by-hand"):
        local_endpoint_folder.EndpointFolder(project, name).write(EndpointState(name, "127.0.0.1", port))
    with pytest.raises(EndpointError, match="has no slot, and belongs to no stage of a registered model"):
        manual_endpoint_changes.start_by_hand(project, "by-hand")
    try:
        status = manual_endpoint_changes.start_by_hand(project, "sample-dev")
        assert (status.state, status.version, status.port) == ("running", version.version, port)
        assert status.detail == DeploymentDetail("sample", run, dataset="sample@2", reason="the only one")
        answer = endpoint_for(project, "sample-dev").invoke({"dataframe_records": [{"a": 10.0}]})
        assert answer["predictions"] == pytest.approx([21.0])
    finally:
        endpoint_for(project, "sample-dev").stop()
    shutil.rmtree(version.source.removeprefix("file://"))
    with pytest.raises(
        EndpointError, match=r"cannot serve version 1 of 'sample', .* cannot be fetched.*nbops rollback"
    ):
        manual_endpoint_changes.start_by_hand(project, "sample")
