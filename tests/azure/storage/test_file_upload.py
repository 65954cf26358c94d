"""Uploads: several files at once, large ones in blocks, none twice, none that hangs, and every failure named."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
import uuid
from functools import partial
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.storage.file_download import download
from notebooks_lib.azure.storage.file_upload import BLOCK, PARALLEL, BlobFolder, in_parallel, upload
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def folder(azure_workspace: AzureProject) -> BlobFolder:
    return BlobFolder.signed(f"https://account.blob.core.windows.net/uploads/{uuid.uuid4().hex}?sig=signed")


def puts(server: Emulated, began: int) -> list[str]:
    return [
        seen.path.rpartition("/")[2]
        for seen in server.record.since(began)
        if seen.method == "PUT" and seen.status == 201
    ]


def test_files_arrive_whole_whatever_their_name_and_size(folder: BlobFolder, anybody: Ask, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * (BLOCK // 256) + b"end")

    assert upload(folder, {"sub/ä b#c?.txt": b"odd", "empty": b"", "large.bin": large}) == 3
    assert anybody("GET", folder.blob("sub/ä b#c?.txt")).content == b"odd"
    assert anybody("GET", folder.blob("empty")).content == b""
    assert anybody("GET", folder.blob("large.bin")).content == large.read_bytes()


def test_what_has_arrived_is_not_sent_again(folder: BlobFolder, azure_server: Emulated, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (BLOCK + 1))
    upload(folder, {"a": b"1", "large.bin": large})
    began = azure_server.record.position()

    assert upload(folder, {"a": b"1", "b": b"2", "large.bin": large}) == 1
    assert puts(azure_server, began) == ["b"]


def test_one_that_was_cut_is_repeated_at_once(folder: BlobFolder, azure_server: Emulated, anybody: Ask) -> None:
    with azure_server.fault("cut", host="blob", path="/b$"):
        assert upload(folder, {"a": b"1", "b": b"2" * 100_000}) == 2
    assert anybody("GET", folder.blob("b")).content == b"2" * 100_000


def test_one_that_fails_ends_the_upload_and_is_named_and_the_next_try_goes_on(
    folder: BlobFolder, azure_server: Emulated
) -> None:
    files = {f"f{number}": b"x" for number in range(30)}
    began = time.monotonic()
    with (
        azure_server.fault("forbidden", host="blob", path="/f7$", times=0),
        pytest.raises(errors.AzureError) as refused,
    ):
        upload(folder, files)

    assert time.monotonic() - began < 20
    assert str(refused.value).startswith("f7 cannot be uploaded: account.blob.core.windows.net answers 403")
    assert "sig=" not in str(refused.value)
    at = azure_server.record.position()
    upload(folder, files)
    assert "f7" in puts(azure_server, at)
    assert "f0" not in puts(azure_server, at)


def test_only_a_file_that_exists_counts_as_there(folder: BlobFolder, azure_server: Emulated) -> None:
    with (
        azure_server.fault("conflict", host="blob", path="/a$"),
        pytest.raises(
            errors.AzureError, match="a cannot be uploaded: .* answers 409 ContainerBeingDeleted; do it again"
        ),
    ):
        upload(folder, {"a": b"1"})
    assert upload(folder, {"a": b"1"}) == 1


def test_blocks_of_a_large_file_that_have_arrived_are_not_sent_again(
    folder: BlobFolder, azure_server: Emulated, anybody: Ask
) -> None:
    content = bytes(range(250))
    with (
        azure_server.fault("forbidden", method="PUT", host="blob", path="/large.bin$", skip=2),
        pytest.raises(errors.AzureError),
    ):
        upload(folder, {"large.bin": content}, block_size=100)
    began = azure_server.record.position()

    assert upload(folder, {"large.bin": content}, block_size=100) == 1
    assert len(puts(azure_server, began)) == 2, "the last block, and the list of all"
    assert anybody("GET", folder.blob("large.bin")).content == content


def test_a_signature_that_has_expired_is_renewed_once_for_all(folder: BlobFolder, anybody: Ask) -> None:
    renewed: list[str] = []

    def renew() -> str:
        renewed.append(folder.signature)
        return folder.signature

    expired = dataclasses.replace(folder, signature="sig=expired", renew=renew)
    content = {f"f{number}": b"x" for number in range(2 * PARALLEL)} | {"large.bin": bytes(250)}
    assert upload(expired, content, block_size=100) == len(content)
    assert anybody("GET", folder.blob("large.bin")).content == bytes(250)
    assert bytes(download(expired, "large.bin")) == bytes(250)
    assert len(renewed) == 2, "once for the upload, once for the download"

    never = dataclasses.replace(folder, signature="sig=expired", renew=lambda: "sig=expired")
    with pytest.raises(errors.AzureError, match="answers 403 AuthenticationFailed; do it again"):
        upload(never, {"other": b"x"})


def test_after_a_failure_a_large_file_ends_with_its_present_block(folder: BlobFolder, azure_server: Emulated) -> None:
    began = azure_server.record.position()
    with (
        azure_server.fault("forbidden", host="blob", path="/bad$"),
        pytest.raises(errors.AzureError, match="bad cannot be uploaded"),
    ):
        upload(folder, {"bad": b"x", "large.bin": bytes(100 * 1000)}, block_size=100)

    blocks = [seen for seen in azure_server.record.since(began) if seen.path.endswith("/large.bin")]
    assert 0 < len(blocks) < 500


def test_ctrl_c_ends_an_upload_with_the_requests_that_are_under_way() -> None:
    begun: list[int] = []
    stopped, main = threading.Event(), threading.get_ident()

    def send(number: int) -> None:
        begun.append(number)
        if number == PARALLEL - 1:
            signal.pthread_kill(main, signal.SIGINT)
        stopped.wait(10)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_parallel((partial(send, number) for number in range(1000)), stopped)
    assert time.monotonic() - began < 5
    assert sorted(begun) == list(range(PARALLEL))
