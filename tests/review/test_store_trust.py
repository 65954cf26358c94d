"""A branch chooses neither the store that a review asks, nor the code that it loads, and brings no runs of its own."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run
from notebooks_lib.errors import UsageError
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review import store_trust
from notebooks_lib.review.base_checkout import check_out
from notebooks_lib.review.store_trust import find_distrust, find_distrust_at_tip
from notebooks_lib.settings import load
from tests.git_commands import commit, git, make_repository

SERVER = '[tracking]\nuri = "https://runs.example.org"\n'
AZURE = '[tracking]\nuri = "azureml"\n'
WORKSPACE = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "{}"\n'
TRUSTED = '[promotion]\ntrusted_flavors = ["sklearn"]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project")
    (root / "production").mkdir()
    write(root, "")
    commit(root)
    return root


def write(root: Path, settings: str) -> None:
    (root / "production" / "settings.toml").write_text(settings)


def write_workspace(file: Path, name: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"subscription_id": "s", "resource_group": "g", "workspace_name": name}))


def distrust(root: Path, base: str = "HEAD~1") -> str:
    repository = GitRepository.find(root)
    with check_out(repository, repository.commit(base)) as tree:
        return find_distrust(load(root, os.environ), tree, repository)


@pytest.mark.parametrize(
    ("base", "head", "named"),
    [
        ("", SERVER, "[tracking] uri"),
        (SERVER, "", "[tracking] uri"),
        (SERVER, SERVER.replace("org", "com"), "[tracking] uri"),
        (AZURE + WORKSPACE.format("ours"), AZURE + WORKSPACE.format("theirs"), "[azure]"),
        ("", TRUSTED, "[promotion] trusted_flavors"),
        ("[broken", SERVER, "[tracking] uri"),
        (SERVER, SERVER + "[kernels]\nwarm = false\n", ""),
        ("", WORKSPACE.format("unused"), ""),
    ],
)
def test_settings_that_choose_the_store_are_those_of_the_base(root: Path, base: str, head: str, named: str) -> None:
    for content in (base, head):
        write(root, content)
        commit(root)
    assert distrust(root).partition(": not as at the base, and a branch must not choose it")[0] == (
        named and f"`{named}`"
    )


@pytest.mark.parametrize(
    ("old", "named"),
    [
        (SERVER, "[tracking] uri"),
        (AZURE + WORKSPACE.format("old"), "[azure]"),
        (TRUSTED, "[promotion] trusted_flavors"),
    ],
)
def test_a_branch_that_left_early_does_not_choose_a_store_of_then(root: Path, old: str, named: str) -> None:
    write(root, old)
    left = commit(root)
    git(root, "switch", "--quiet", "-c", "theirs")
    settings = load(root, {})
    assert find_distrust_at_tip(settings, GitRepository.find(root), "main", left) == ""
    git(root, "switch", "--quiet", "main")
    write(root, AZURE + WORKSPACE.format("new") if named == "[azure]" else "")
    commit(root)
    git(root, "switch", "--quiet", "theirs")
    says = find_distrust_at_tip(settings, GitRepository.find(root), "main", left)
    assert says.startswith(f"`{named}`: not as in main, and a branch must not choose it, so no store is asked")


def test_a_reviewer_names_the_store_himself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, SERVER + TRUSTED)
    commit(root)
    assert distrust(root).endswith("set NBOPS_TRACKING_URI and NBOPS_PROMOTION_TRUSTED_FLAVORS yourself")
    monkeypatch.setenv("NBOPS_TRACKING_URI", "https://mine.example.org")
    assert distrust(root).endswith("set NBOPS_PROMOTION_TRUSTED_FLAVORS yourself")
    monkeypatch.setenv("NBOPS_PROMOTION_TRUSTED_FLAVORS", "sklearn")
    assert distrust(root) == ""


def test_a_workspace_of_the_branch_is_not_asked_but_that_of_the_reviewer_is(root: Path) -> None:
    write(root, AZURE)
    (root / ".gitignore").write_text("/config.json\n")
    write_workspace(root / "samples" / "config.json", "sample")
    commit(root)
    write_workspace(root / "config.json", "mine")
    commit(root)
    assert distrust(root) == "", "git does not track it"
    (root / ".azureml").symlink_to("samples")
    commit(root)
    assert distrust(root).startswith("`config.json`: not as at the base")
    (root / ".azureml").unlink()
    (root / ".azureml").symlink_to(root.parent / "elsewhere")
    write_workspace(root.parent / "elsewhere" / "config.json", "another")
    commit(root)
    assert distrust(root, "HEAD~2").startswith("`config.json`: not as at the base"), "a link out of the repository"


@pytest.mark.parametrize("place", [".nbops/mlflow.db", ".NBOPS/azure/workspaces.json"])
def test_runs_that_a_branch_brings_do_not_count(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / place).parent.mkdir(parents=True)
    (root / place).write_text("forged")
    commit(root)
    monkeypatch.setenv("NBOPS_TRACKING_URI", "azureml")
    says = "git tracks files under .nbops, so its runs may be made up: no store is asked; `git rm -r .nbops`"
    assert distrust(root) == distrust(root, "HEAD") == says


def test_runs_that_a_branch_brings_elsewhere_do_not_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for uri, file in (("sqlite:///runs/all.db", "runs/artifacts/model"), ("mlruns", "mlruns/0/meta.yaml")):
        write(root, f'[tracking]\nuri = "{uri}"\n')
        commit(root)
        assert distrust(root, "HEAD") == ""
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text("forged")
        commit(root)
        assert "so its runs may be made up: no store is asked; set NBOPS_TRACKING_URI yourself" in distrust(root)
        git(root, "rm", "-r", "-q", "--cached", ".")
    monkeypatch.setenv("NBOPS_TRACKING_URI", "mlruns")
    assert distrust(root, "HEAD") == "", "the reviewer wants it"


@pytest.mark.parametrize("name", ["all.db-wal", "ALL.DB-journal", "all.db.ready"])
def test_a_branch_brings_no_part_of_a_database(root: Path, name: str) -> None:
    write(root, '[tracking]\nuri = "sqlite:///.runs/all.db"\n')
    (root / ".gitignore").write_text(".runs/\n")
    (root / ".runs").mkdir()
    (root / ".runs" / "all.db").write_text("the reviewer's own")
    commit(root)
    assert distrust(root, "HEAD") == ""
    (root / ".runs" / name).write_text("forged")
    git(root, "add", "--force", f".runs/{name}")
    commit(root)
    assert distrust(root) == (
        "git tracks .runs/all.db*, so its runs may be made up: no store is asked; set NBOPS_TRACKING_URI yourself"
    )


@pytest.mark.proof
def test_a_checked_out_branch_gets_no_token_from_commands_that_only_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git(root, "switch", "--quiet", "-c", "theirs")
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        write(root, f'[tracking]\nuri = "http://127.0.0.1:{server.getsockname()[1]}"\n')
        commit(root)
        for words in ("diff 01234567 89abcdef", "compare e --metric rmse", "ui", "history m", "page 01234567"):
            assert run(words.split()) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("nbops: `[tracking] uri`: not as in main, and a branch must not choose it"), words
            assert line.endswith("merge that first, or set NBOPS_TRACKING_URI yourself")
        with pytest.raises(BlockingIOError):  # nobody asked
            server.accept()


def test_a_branch_may_choose_a_store_on_this_machine_for_commands_that_load_no_model(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(store_trust.store, "connect", asked.append)
    git(root, "switch", "--quiet", "-c", "ours")
    write(root, '[tracking]\nuri = "sqlite:///runs.db"\n[promotion]\ntrusted_flavors = ["sklearn"]\n')
    commit(root)
    project = load(root, {})
    store_trust.connect_unless_chosen_by_branch(project)
    assert asked == [project]
    with pytest.raises(UsageError, match="trusted_flavors"):
        store_trust.connect_unless_chosen_by_branch(project, loads_models=True)


def test_a_branch_does_not_trust_itself_by_its_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "--quiet", str(root), "clone")
    clone = tmp_path / "clone"
    assert store_trust._distrust_of_branch(load(clone, {})) == ""
    write(clone, SERVER)
    assert store_trust._distrust_of_branch(load(clone, {})) == "", "not committed, so the user's own"
    commit(clone)  # on `main`, which is not where the remote's is
    why = store_trust._distrust_of_branch(load(clone, {}))
    assert why.startswith("`[tracking] uri`: not as in origin/main, and a branch must not choose it")
    monkeypatch.setenv("NBOPS_TRACKING_URI", "https://runs.example.org")
    assert store_trust._distrust_of_branch(load(clone, os.environ)) == ""


@pytest.mark.parametrize("place", ["settings", "config.json"])
def test_where_no_default_branch_is_known_nothing_committed_chooses_a_store(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    git(root, "switch", "--quiet", "-c", "theirs")
    write(root, SERVER if place == "settings" else AZURE)
    if place == "config.json":
        write_workspace(root / "config.json", "theirs")
    commit(root)
    git(root, "switch", "--quiet", "main")  # the remote's default branch
    git(tmp_path, "clone", "--quiet", "--single-branch", "--branch", "theirs", f"file://{root}", "clone")
    clone = tmp_path / "clone"
    why = store_trust._distrust_of_branch(load(clone, {}))
    assert why.startswith("`[tracking] uri`")
    assert "not as in the default branch, which is not known here" in why
    assert why.endswith(
        "; fetch it: git fetch origin '+refs/heads/*:refs/remotes/origin/*', or set NBOPS_TRACKING_URI yourself"
    )
    git(clone, "switch", "--quiet", "-c", "main")
    assert store_trust._distrust_of_branch(load(clone, {})) == why, "whatever it is called"
    git(clone, "fetch", "--quiet", "origin", "+refs/heads/*:refs/remotes/origin/*")
    assert "not as in origin/main" in store_trust._distrust_of_branch(load(clone, {}))
    git(clone, "reset", "--quiet", "--hard", "origin/main")
    assert store_trust._distrust_of_branch(load(clone, {})) == ""


@pytest.mark.parametrize("name", ["main", "trunk"])
def test_a_repository_without_a_remote_is_the_users_own(root: Path, name: str) -> None:
    git(root, "branch", "--move", name)
    write(root, SERVER)
    commit(root)
    assert store_trust._distrust_of_branch(load(root, {})) == ""


def test_own_settings_and_other_changes_of_a_branch_choose_the_store_as_ever(root: Path) -> None:
    write(root, '[tracking]\nuri = "https://runs.example.org"\n')  # on main, not committed
    assert store_trust._distrust_of_branch(load(root, {})) == ""
    (root / ".gitignore").write_text("/.nbops\n")
    commit(root)
    git(root, "switch", "--quiet", "-c", "ours")
    (root / "other.py").write_text("")
    commit(root)
    assert store_trust._distrust_of_branch(load(root, {})) == ""
    write(root, "[kernels]\nwarm = false\n" + (root / "production" / "settings.toml").read_text())
    commit(root)
    assert store_trust._distrust_of_branch(load(root, {})) == ""
