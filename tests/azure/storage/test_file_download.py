"""Downloads: whole or not at all, large files in ranges, none that hangs, and every failure named."""

from __future__ import annotations

import time
import uuid

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.storage.file_download import download
from notebooks_lib.azure.storage.file_upload import BLOCK, BlobFolder, upload
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def folder(azure_workspace: AzureProject) -> BlobFolder:
    return BlobFolder.signed(f"https://account.blob.core.windows.net/downloads/{uuid.uuid4().hex}?sig=signed")


def test_files_come_whole_whatever_their_name_and_size(folder: BlobFolder, azure_server: Emulated) -> None:
    files = {"sub/ä b#c?.txt": b"odd", "empty": b"", "exact": b"x" * BLOCK, "large": bytes(range(256)) * (BLOCK // 100)}
    upload(folder, files)
    began = azure_server.record.position()

    assert {name: bytes(download(folder, name)) for name in files} == files
    asked = [seen.path.rpartition("/")[2] for seen in azure_server.record.since(began) if seen.method == "GET"]
    assert len(asked) == 5  # one, none for the empty one, one, and three


def test_one_that_was_cut_is_asked_for_again_at_once(folder: BlobFolder, azure_server: Emulated) -> None:
    content = bytes(range(256)) * (BLOCK // 100)
    upload(folder, {"large": content})
    with azure_server.fault("cut", method="GET", host="blob", path="large$", skip=1):
        assert download(folder, "large") == content


@pytest.mark.proof
def test_one_that_is_refused_ends_the_download_and_is_named(folder: BlobFolder, azure_server: Emulated) -> None:
    upload(folder, {"large": b"x" * (10 * BLOCK)})
    began = time.monotonic()
    with (
        azure_server.fault("forbidden", method="GET", host="blob", path="large$", skip=2),
        pytest.raises(errors.AzureError) as refused,
    ):
        download(folder, "large")

    assert time.monotonic() - began < 20
    assert str(refused.value).startswith("large cannot be downloaded: account.blob.core.windows.net answers 403")
    assert "sig=" not in str(refused.value)


def test_one_that_is_not_there_has_its_status(folder: BlobFolder) -> None:
    with pytest.raises(errors.AzureError, match="none cannot be downloaded: .* answers 404 BlobNotFound") as missing:
        download(folder, "none")
    assert missing.value.status == 404
