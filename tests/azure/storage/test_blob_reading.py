"""Files of blob storage are listed page after page, and read in order, in parts, also while they grow or vanish."""

from __future__ import annotations

import uuid
from itertools import groupby
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.storage.blob_reading import BlobFile, list_files, read_parts
from notebooks_lib.azure.storage.file_upload import BLOCK, BlobFolder, upload
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def folder(azure_workspace: AzureProject) -> BlobFolder:
    return BlobFolder.signed(f"https://account.blob.core.windows.net/downloads/{uuid.uuid4().hex}/ö b?sig=signed")


def content_of(folder: BlobFolder, files: list[BlobFile]) -> dict[str, bytes]:
    parts = read_parts(folder, files)
    return {file.path: b"".join(part or b"GONE" for _, part in of) for file, of in groupby(parts, lambda each: each[0])}


def test_all_pages_of_a_folder_are_listed_and_read_in_order(folder: BlobFolder) -> None:
    files = {f"blue/{number:02d} & ü.jsonl": f"{number}\n".encode() * 10 for number in range(8)}
    large = {"large": bytes(range(256)) * (BLOCK // 100)}
    upload(folder, files | large | {"empty": b""})
    upload(BlobFolder(f"{folder.url}-other", folder.signature), {"x": b"x"})

    listed = list(list_files(folder))
    assert {file.path: file.size for file in listed} == {
        name: len(content) for name, content in (files | large | {"empty": b""}).items()
    }
    assert [file.path for file in listed] == sorted(file.path for file in listed)
    assert content_of(folder, listed) == files | large


def test_a_folder_that_is_not_there_has_no_files(folder: BlobFolder) -> None:
    assert list(list_files(folder)) == []


def test_a_file_that_grows_is_read_to_the_size_that_was_listed(folder: BlobFolder, azure_server: Emulated) -> None:
    upload(folder, {"a": b"one\n"})
    (listed,) = list_files(folder)
    blobs = Path(azure_server.environment["SSL_CERT_FILE"]).parent / "blobs" / "downloads"
    (file,) = blobs.glob(f"{folder.url.rsplit('/', 2)[1]}/*/a")
    file.write_bytes(b"one\ntwo\n")
    assert content_of(folder, [listed]) == {"a": b"one\n"}


def test_a_file_that_is_gone_is_told_from_one_that_is_refused(folder: BlobFolder, azure_server: Emulated) -> None:
    upload(folder, {"a": b"one\n", "b": b"two\n"})
    gone, *there = BlobFile("gone", 4), *list_files(folder)
    assert content_of(folder, [gone, *there]) == {"gone": b"GONE", "a": b"one\n", "b": b"two\n"}
    with (
        azure_server.fault("forbidden", method="GET", host="blob", path="/b$"),
        pytest.raises(
            errors.AzureError, match="b cannot be read: account.blob.core.windows.net answers 403"
        ) as refused,
    ):
        content_of(folder, there)
    assert "sig=" not in str(refused.value)


def test_a_list_that_is_refused_names_the_folder(folder: BlobFolder, azure_server: Emulated) -> None:
    with (
        azure_server.fault("forbidden", method="GET", host="blob", path="/downloads$"),
        pytest.raises(errors.AzureError, match="the list of files in .*/ö b/ cannot be read"),
    ):
        list(list_files(folder))


def test_a_connection_that_was_cut_is_made_again(folder: BlobFolder, azure_server: Emulated) -> None:
    upload(folder, {"a": b"one\n"})
    with azure_server.fault("cut", method="GET", host="blob", path="/a$"):
        assert content_of(folder, list(list_files(folder))) == {"a": b"one\n"}
