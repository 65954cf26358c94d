"""What each store of datasets promises, on disk and elsewhere; and that nothing but a store knows where versions lie."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import (
    canonical_types,
    fresh_holdout,
    holdout_budget,
    holdout_leakage,
    holdout_shift,
    run_datasets,
    splits,
    table_hashing,
    version_lookup,
)
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetSource, DatasetStore, VersionContent
from notebooks_lib.datasets.sklearn_datasets import SklearnDatasets
from notebooks_lib.errors import DatasetError, UsageError
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect
from tests.datasets.memory_store import MemoryStore


@pytest.fixture(params=["disk", "memory", pytest.param("workspace", marks=pytest.mark.tracking)])
def project_of_a_store(request: pytest.FixtureRequest, project: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project whose datasets lie in one of the stores."""
    if request.param == "memory":
        store = MemoryStore()
        monkeypatch.setitem(version_lookup.STORES, version_lookup.DISK, lambda settings: store)
    if request.param == "workspace":
        project = request.getfixturevalue("with_workspace")(project)
        monkeypatch.setitem(version_lookup.STORES, version_lookup.DISK, version_lookup.STORES[version_lookup.WORKSPACE])
    return project


@pytest.fixture
def store(project_of_a_store: Settings) -> DatasetStore:
    return version_lookup.project_store(project_of_a_store)


def content(rows: int = 40, retired: int = 0, **roles: str) -> VersionContent:
    table = canonical_types.normalise(
        pa.table({"id": range(rows), "x": np.arange(rows) / 7, "naïve \x7f": ["ü"] * rows})
    )
    digests = table_hashing.Digests.of(table)
    gone = digests.folded[:retired] if retired else None
    metadata = Metadata(
        fingerprint="",
        rows=rows,
        columns=canonical_types.kinds(table),
        validation_share=0.2,
        holdout_share=0.3,
        parts=splits.ALGORITHM,
        description='a "row" is\\one \x7f day',
        said=("x",),
        retired=None if gone is None else splits.retired_sha256(gone),
        **roles,
    )
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(table, digests, metadata))
    return VersionContent(metadata, table, gone)


@pytest.mark.parametrize("retired", [0, 5])
def test_a_version_is_read_back_as_it_was_added(store: DatasetStore, retired: int) -> None:
    added = content(retired=retired, key="id")
    assert store.add("t", 1, added)
    back = store.read("t", 1)
    assert back.metadata == added.metadata == store.metadata("t", 1)
    assert back.table.equals(added.table)
    if retired:
        assert np.array_equal(back.retired, added.retired)
        assert np.array_equal(store.retired("t", 1), added.retired)
    else:
        assert back.retired is None


def test_names_and_versions_are_listed_in_order(store: DatasetStore) -> None:
    assert (store.names(), store.versions("t"), store.next_version("t")) == ([], [], 1)
    for name, versions in (("t", range(1, 12)), ("a-1_b", [1])):
        for version in versions:
            assert store.next_version(name) == version
            assert store.add(name, version, content())
    assert (store.names(), store.versions("t"), store.next_version("t")) == (["a-1_b", "t"], list(range(1, 12)), 12)


def test_a_number_that_is_taken_is_not_given_again(store: DatasetStore) -> None:
    first = content(40)
    assert store.add("t", 1, first)
    assert not store.add("t", 1, content(50))
    assert store.read("t", 1).metadata == first.metadata
    assert store.versions("t") == [1]


def test_of_several_that_add_one_number_at_once_one_gets_it(store: DatasetStore) -> None:
    start, taken = threading.Barrier(8), []

    def add(rows: int) -> None:
        start.wait()
        if store.add("t", 1, content(rows)):
            taken.append(rows)

    threads = [threading.Thread(target=add, args=(40 + place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.metadata("t", 1).rows] == taken
    assert (store.names(), store.versions("t")) == (["t"], [1])


def test_another_machine_reads_the_versions_from_a_copy_of_the_folder(
    store: DatasetStore, project_of_a_store: Settings, tmp_path: Path
) -> None:
    store.add("t", 1, content())
    if store.folder is not None:
        copy = shutil.copytree(store.folder, tmp_path / "elsewhere" / "data")
        there = project_of_a_store.model_copy(update={"root": copy.parent})
        assert version_lookup.project_store(there).metadata("t", 1) == store.metadata("t", 1)


def test_a_version_that_is_not_there_is_an_error(store: DatasetStore) -> None:
    for look in (store.metadata, store.read, store.retired):
        with pytest.raises(DatasetError, match="t"):
            look("t", 1)


@pytest.mark.parametrize("name", ["iris", "own"])
def test_each_source_has_what_it_lists(store: DatasetStore, name: str) -> None:
    store.add("own", 1, content())
    source: DatasetSource = store if name == "own" else SklearnDatasets()
    assert name in source.names()
    assert source.versions(name) == [1]
    assert source.versions("nothing") == []
    read = source.read(name, 1)
    assert read.metadata == source.metadata(name, 1)
    assert (len(read.table), list(read.table.column_names)) == (read.metadata.rows, list(read.metadata.columns))
    assert source.origin(name)
    assert name in source.location(name, 1)


def test_what_any_store_gives_back_is_compared_with_its_fingerprint(project_of_a_store: Settings) -> None:
    store, added = version_lookup.project_store(project_of_a_store), content(retired=5, key="id")
    store.add("rows", 1, replace(added, table=added.table.slice(1)))
    store.add("retired", 1, replace(added, retired=None if added.retired is None else added.retired[1:]))
    store.add("none", 1, replace(added, retired=None, metadata=replace(added.metadata, retired=None)))
    for name, reason in (
        ("rows", "the content has changed"),
        ("retired", "is not what was written"),
        ("none", "has changed"),
    ):
        with pytest.raises(DatasetError, match=reason):
            datasets.read(name, project_of_a_store)


@pytest.mark.tracking
def test_whatever_the_store_all_that_people_do_with_datasets_works(
    project_of_a_store: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project, tracking = project_of_a_store, connect(project_of_a_store)

    def add(rows: int, name: str = "sales") -> datasets.Dataset:
        values = np.random.default_rng(0).normal(size=1000)[:rows]
        pd.DataFrame({"id": range(rows), "x": values, "y": 2 * values}).to_csv(tmp_path / "t.csv", index=False)
        return datasets.add(tmp_path / "t.csv", name, project, target="y", key="id")

    first = add(200)
    assert add(200).ref == first.ref == "sales@1"
    with holdout_budget.holdout_use(tracking, first, {"q": 1}, alpha=0.05, budget=10, reader="test") as use:
        assert len(use.open()) == first.rows_held_out
        use.answer({})
    add(400)
    fresh = fresh_holdout.make_fresh_holdout(tracking, "sales", min_rows=30)
    assert (fresh.ref, fresh.retired) == ("sales@3", first.rows_held_out)
    assert holdout_budget.count_uses(tracking, fresh.ref, alpha=0.05, budget=10) == 0
    assert holdout_leakage.seen_in_datasets(fresh, [run_datasets.tag_value(first)], project) == 0
    assert holdout_leakage.seen_in_datasets(first, [run_datasets.tag_value(fresh)], project) == first.rows_held_out
    assert holdout_shift.holdout_faults(fresh.ref, project) == ()
    (entry, *_) = datasets.catalog(project)
    assert (entry.name, entry.versions, entry.fingerprint) == ("sales", (1, 2, 3), fresh.fingerprint)
    with pytest.raises(UsageError, match="scikit-learn has a table of that name"):
        add(200, "iris")
    assert project.data_folder.exists() == ("[disk]" in request.node.name)


def test_metadata_are_written_as_they_always_were() -> None:
    metadata = replace(content(key="id").metadata, fingerprint="f" * 64, created="2026-01-02T03:04:05Z")
    assert metadata.to_toml() == (
        "# Written by `nbops data add`. A version is immutable: change nothing here, add a new version.\n"
        f'fingerprint = "{"f" * 64}"\nrows = 40\nvalidation_share = 0.2\nholdout_share = 0.3\nparts = 2\n'
        'key = "id"\ndescription = "a \\"row\\" is\\\\one \\u007f day"\nsource = ""\n'
        'created = "2026-01-02T03:04:05Z"\nsaid = ["x"]\n'
        'columns = [\n    { name = "id", kind = "integer" },\n    { name = "x", kind = "number" },\n'
        '    { name = "naïve \\u007f", kind = "text" },\n]\n'
    )
    assert Metadata.from_toml(metadata.to_toml()) == metadata
