"""What is held against a run's numbers; that runs are found and compared is tested through the command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from notebooks_lib.git_repository import GitRepository
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.other_files import OtherFiles, WorkTreeNotebooks
from notebooks_lib.review.source_proof import COMMIT, find_differences, is_outdated, prove, prove_base
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo
from tests.git_commands import commit, make_repository
from tests.notebooks.building import code, write

SOUND = {
    Tag.SOURCE_FINGERPRINT: "f",
    COMMIT: "HEAD",
    Tag.GIT_DIRTY: "false",
    Tag.LOCK_SHA256: "l",
    Tag.LOCK_INSTALLED: "true",
}


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    commit(make_repository(tmp_path))
    return GitRepository.find(tmp_path)


@pytest.fixture
def files(repository: GitRepository) -> OtherFiles:
    """Those of a notebook that names none."""
    write(repository.root / "work" / "q.ipynb", code("pass"))
    return OtherFiles(WorkTreeNotebooks(repository), NotebookSource.read(repository.root, "work/q.ipynb"))


def run(**tags: str) -> RunInfo:
    return RunInfo("run", "", "", "1", "FINISHED", 0, {}, {}, SOUND | tags)


@pytest.mark.parametrize(
    ("tags", "differences"),
    [
        ({}, ()),
        ({COMMIT: ""}, ("the run recorded no commit",)),
        ({Tag.SOURCE_FINGERPRINT: "g"}, ("the source changed while it ran",)),
        (
            {Tag.LOCK_INSTALLED: "numpy 2.4.6, locked 2.0.0"},
            ("the run had other packages than requirements.lock (numpy 2.4.6, locked 2.0.0)",),
        ),
        (
            {Tag.LOCK_INSTALLED: "not known: 1 of its lines pins no version"},
            ("the run is not shown to have had the packages of requirements.lock (1 of its lines pins no version)",),
        ),
    ],
)
def test_a_run_of_exactly_this_source(files: OtherFiles, tags: dict[str, str], differences: tuple[str, ...]) -> None:
    assert prove([run(**tags)], ["f"], files, "HEAD", dirty=False).differences == differences


def test_data_that_changed_after_the_run_is_named(files: OtherFiles) -> None:
    repository = files.repository
    root = repository.root
    before = repository.commit("HEAD")
    for name in ("README.md", "q.ipynb", "q.bands.toml", "test_helpers.py", "requirements.lock", ".github/ci.yml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("{}")
    commit(root)
    assert prove([run(**{COMMIT: before})], ["f"], files, "HEAD", dirty=False).exact, "no file that a notebook reads"
    (root / "data.csv").write_text("1")
    (root / "q.sql").write_text("select 1")
    commit(root)
    differences = prove([run(**{COMMIT: before})], ["f"], files, "HEAD", dirty=False).differences
    assert differences == ("since that run `data.csv`, `q.sql` changed, which the notebook may read",)
    assert prove([run(**{COMMIT: repository.commit("HEAD")})], ["f"], files, "HEAD", dirty=False).exact
    (difference,) = prove([run(**{COMMIT: "0" * 40})], ["f"], files, "HEAD", dirty=False).differences
    assert difference.startswith("the run's commit 00000000 is not in this clone")


def test_the_bases_run_is_held_to_the_base(files: OtherFiles) -> None:
    root = files.repository.root
    commits = []
    for content in ("1", "1000"):
        (root / "data.csv").write_text(content)
        commits.append(commit(root))
    before, base = commits
    old, other = run(**{COMMIT: before}), run(**{COMMIT: base, Tag.LOCK_INSTALLED: "numpy 2.4.6, locked 2.0.0"})
    assert prove_base([old, other], ["f", "f"], files, base) == (
        "the base's run: since that run `data.csv` changed, which the notebook may read",
        "the base's run: the run had other packages than requirements.lock (numpy 2.4.6, locked 2.0.0)",
    )
    assert prove_base([run(**{COMMIT: base})], ["f"], files, base) == ()
    assert prove_base([], [], files, base) == ()
    assert is_outdated(old, files, base, has_lock=lambda: False, is_clean=lambda: False)


@pytest.mark.parametrize(
    ("tags", "mended_by"),
    [
        ({}, None),
        ({Tag.LOCK_INSTALLED: "numpy 2.4.6, locked 2.0.0"}, "lock"),
        ({Tag.LOCK_INSTALLED: None}, "lock"),
        ({Tag.LOCK_INSTALLED: None, Tag.LOCK_SHA256: None}, None),
        ({Tag.GIT_DIRTY: "true"}, "clean tree"),
        ({Tag.GIT_DIRTY: None, COMMIT: None}, "clean tree"),
    ],
)
def test_a_run_is_made_anew_where_a_new_one_mends_what_is_held_against_it(
    files: OtherFiles, tags: dict[str, str | None], mended_by: str | None
) -> None:
    found = run()
    old = RunInfo(**vars(found) | {"tags": {name: tag for name, tag in (found.tags | tags).items() if tag}})
    for able in ({}, {"lock"}, {"clean tree"}, {"lock", "clean tree"}):
        has_lock, is_clean = partial(able.__contains__, "lock"), partial(able.__contains__, "clean tree")
        assert is_outdated(old, files, "HEAD", has_lock=has_lock, is_clean=is_clean) == (mended_by in able)


def test_a_run_that_did_not_record_its_packages_proves_nothing(files: OtherFiles) -> None:
    old = run()
    tags = {name: value for name, value in old.tags.items() if name != Tag.LOCK_INSTALLED}
    (difference,) = prove(
        [run(), RunInfo(**{**vars(old), "tags": tags})], ["f", "f"], files, "HEAD", dirty=False
    ).differences
    assert difference.startswith("the run did not record whether")


@pytest.mark.parametrize(
    ("parameters", "model", "differences"),
    [
        ("strength: float = 1.0", "Ridge(strength)", ["since that run: parameter `alpha` is now `strength`"]),
        (
            "strength: float = 2.0",
            "Ridge(strength)",
            ["since that run: parameter `alpha` is now `strength`", "that run had `alpha` 1.0, here `strength` is 2.0"],
        ),
        (
            "strength: float = 1.0",
            "Lasso(strength)",
            ["since that run a code cell changed", "since that run: parameter `alpha` is now `strength`"],
        ),
        ("alpha: float = 1.0\nseed: int = 0", "Ridge(alpha)", ["since that run: parameter `seed` added"]),
        ("alpha: float = 2.0", "Ridge(alpha)", ["that run had `alpha` 1.0, here it is 2.0"]),
        ("alpha: float = 1.0", "Lasso(alpha)", ["since that run a code cell changed"]),
    ],
)
def test_parameters_that_changed_after_the_run_are_named(
    repository: GitRepository, parameters: str, model: str, differences: list[str]
) -> None:
    def source(parameters: str, model: str) -> NotebookSource:
        model_cell = code(f"model = {model}\nmodel.fit(X)", id="model")
        write(repository.root / "q.ipynb", code(parameters, "parameters", id="parameters"), model_cell)
        return NotebookSource.read(repository.root, "q.ipynb")

    ran = source("alpha: float = 1.0", "Ridge(alpha)").notebook
    tags = {Tag.CODE_SHA256: ran.code_sha256, COMMIT: commit(repository.root), Tag.LOCK_SHA256: ""}
    info = RunInfo("run", "", "", "1", "FINISHED", 0, {}, {"alpha": "1.0"}, tags)
    assert list(find_differences(info, source(parameters, model), {}, repository)) == differences


LONG = "x" * 6999


@pytest.mark.parametrize(
    ("recorded", "head", "differences"),
    [
        ({"long": LONG + "y", "k": 2}, LONG + "y", ["that run had `k` 2, here it is 3"]),
        ({}, LONG + "y", ["that run had `k` 2, here it is 3"]),
        (
            {"long": LONG + "y", "k": 3},
            LONG + "z",
            ["that run had another `long`, from character 7000 on"],
        ),
        (
            {"long": "y" * 70, "k": 3},
            LONG,
            [f"that run had `long` {'y' * 59}…, here it is {'x' * 59}…"],
        ),
        ({"long": LONG, "k": 3.0}, LONG, ["since that run a file that the notebook imports changed, or its data"]),
    ],
)
def test_parameters_are_compared_uncut_and_shown_cut(
    repository: GitRepository, recorded: dict[str, object], head: str, differences: list[str]
) -> None:
    write(repository.root / "q.ipynb", code(f'long: str = "{head}"\nk: int = 3', "parameters"))
    source = NotebookSource.read(repository.root, "q.ipynb")
    tags = {Tag.CODE_SHA256: source.notebook.code_sha256, COMMIT: commit(repository.root)}
    info = RunInfo("run", "", "", "1", "FINISHED", 0, {}, {"long": LONG[:5999] + "…", "k": "2"}, tags)
    assert list(find_differences(info, source, {}, repository, recorded)) == differences


def test_a_truth_value_is_not_the_number_that_is_equal_to_it(repository: GitRepository) -> None:
    write(repository.root / "q.ipynb", code("k: int = 1", "parameters"))
    source = NotebookSource.read(repository.root, "q.ipynb")
    tags = {Tag.CODE_SHA256: source.notebook.code_sha256, COMMIT: commit(repository.root)}
    info = RunInfo("run", "", "", "1", "FINISHED", 0, {}, {}, tags)
    assert list(find_differences(info, source, {}, repository, {"k": True})) == ["that run had `k` True, here it is 1"]
