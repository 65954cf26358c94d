"""The files of both collectors are found, opened and read; of a damaged one, all that can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notebooks_lib.azure.client.workspace import find_workspace
from notebooks_lib.serving.collected.collected_files import Opened, line_documents, local_files, workspace_files
from notebooks_lib.serving.collected.collected_records import RecordFault
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject
from tests.serving.collected.collectors import AT, SINCE, Asked, collect_locally, collect_on_azure, storage

TWO = [Asked([{"a": 1}], [1.0]), Asked([{"a": 2}], [2.0], slot="green")]


def shown(opened: Opened) -> dict[str, list[str]]:
    """File -> its collection with what was read of it, or what is wrong there."""
    found: dict[str, list[str]] = {}
    for file, documents in opened:
        for each in documents:
            text = f"{each.where}: {each.reason}" if isinstance(each, RecordFault) else each[0]
            found.setdefault(f"{file.slot}/{file.collection}", []).append(text)
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_are_put_together_from_parts_of_any_size(size: int) -> None:
    text = '{"a": "ä"}\r\n\n  \n{"b": 1}\nnonsense\n{"c": NaN}\n{"d": '.encode()
    parts: Iterable[bytes] = (text[start : start + size] for start in range(0, len(text), size))
    found = list(line_documents(parts))
    assert found[:2] == [("line 1", {"a": "ä"}), ("line 4", {"b": 1})]
    assert [each.where for each in found if isinstance(each, RecordFault)] == ["line 5", "line 7"]
    assert len(found) == 5


def test_lines_of_bytes_that_are_no_text_and_nested_ones_are_faults() -> None:
    deep = b"[" * 100_000
    faults = list(line_documents([b'\xff\xfe\n"\xc3"\n' + deep + b"\n"]))
    assert [isinstance(each, RecordFault) and each.where for each in faults] == ["line 1", "line 2", "line 3"]


def test_a_file_that_is_deleted_meanwhile_gives_what_was_read_of_it() -> None:
    found = list(line_documents([b'{"a": 1}\n{"b"', None]))
    assert found == [("line 1", {"a": 1}), RecordFault("", "was deleted meanwhile")]


def test_local_files_are_those_of_the_endpoint_and_the_time(empty_project: Settings) -> None:
    late = AT + timedelta(days=3)
    collect_locally(empty_project.layout.collected, "houses", [*TWO, Asked([{"a": 3}], [3.0], at=late)])
    collect_locally(empty_project.layout.collected, "other", TWO)
    assert {key: len(read) for key, read in shown(local_files(empty_project, "houses", SINCE)).items()} == {
        "blue/model_inputs": 2,
        "blue/model_outputs": 2,
        "green/model_inputs": 1,
        "green/model_outputs": 1,
    }
    assert len(shown(local_files(empty_project, "houses", late))) == 2
    assert shown(local_files(empty_project, "none", SINCE)) == {}


def test_damaged_local_files_are_named_and_one_that_is_being_written_is_left_alone(empty_project: Settings) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    collect_locally(empty_project.layout.collected, "houses", TWO)
    folder = empty_project.layout.collected / "houses" / "blue" / "model_inputs"
    (file,) = folder.rglob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    (folder / ".x.part").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    parquet.write_table(pa.table({"id": ["1"]}), folder / "other.parquet")
    faults = shown(local_files(empty_project, "houses", SINCE))["blue/model_inputs"]
    assert len(faults) == 3
    for words in (": cannot be read as Parquet", ": is no .parquet file, and was not read", ": has no column time"):
        assert any(fault.startswith(words) for fault in faults), (words, faults)


@pytest.mark.tracking
def test_files_of_a_workspace_are_those_of_the_endpoint_and_the_time(
    azure_workspace: AzureProject, azure_server: Emulated
) -> None:
    name, root = azure_workspace.settings.project.name, storage(azure_server)
    late = AT + timedelta(days=3)
    collect_on_azure(root, name, [*TWO, Asked([{"a": 3}], [3.0], at=late)])
    collect_on_azure(root, f"{name}-other", TWO)
    folder = root / "modelDataCollector" / name / "blue"
    (folder / "request").mkdir()
    (folder / "request" / "x.jsonl").write_text("{}\n")
    (folder / "model_inputs" / "x.jsonl.gz").write_bytes(b"\x1f\x8b")
    began = azure_server.record.position()

    at = find_workspace(azure_workspace.settings), name
    found = shown(workspace_files(*at, SINCE))
    assert {key: len(read) for key, read in found.items()} == {
        "blue/model_inputs": 3,
        "blue/model_outputs": 2,
        "green/model_inputs": 1,
        "green/model_outputs": 1,
    }
    assert ": is no .jsonl file, and was not read" in found["blue/model_inputs"]
    assert not [seen for seen in azure_server.record.since(began) if seen.path.endswith(".gz")]
    assert len(shown(workspace_files(*at, late))) == 2
    assert shown(workspace_files(at[0], "none-such", SINCE)) == {}


def test_a_record_of_the_sidecar_has_what_is_read_of_it(tmp_path: Path) -> None:
    collect_on_azure(tmp_path, "houses", TWO[:1])
    (file,) = tmp_path.rglob("model_inputs/**/*.jsonl")
    event = json.loads(file.read_text())
    assert (event["data"], event["time"], event["correlationid"]) == ([{"a": 1}], "2026-11-20T10:59:58Z", "r0")
    assert datetime.fromisoformat(event["time"]) == AT.astimezone(UTC)
