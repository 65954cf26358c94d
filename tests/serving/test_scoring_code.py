"""The code of a deployment: the project's score.py or ours, and this nbops in one file, the same bytes each time."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import pytest

import notebooks_lib
from notebooks_lib import errors
from notebooks_lib.serving.scoring_code import scoring_code

OURS = Path(notebooks_lib.__file__).parent.parent / "production" / "scoring" / "score.py"


def test_it_is_score_py_and_this_nbops(tmp_path: Path) -> None:
    code = scoring_code(tmp_path)

    assert sorted(code.files) == ["notebooks_lib.zip", "score.py"]
    assert code.files["score.py"] == OURS.read_bytes()
    with zipfile.ZipFile(io.BytesIO(code.files["notebooks_lib.zip"])) as archive:
        names = archive.namelist()
    assert "notebooks_lib/serving/scoring_script.py" in names
    # With metadata, MLflow would find nbops' plug-in for runs, and import it.
    assert all(name.startswith("notebooks_lib/") and name.endswith(".py") for name in names)
    assert scoring_code(tmp_path).sha256 == code.sha256


def test_a_project_may_have_a_script_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "production" / "scoring" / "score.py"
    own.parent.mkdir(parents=True)
    own.write_text("# mine\n")
    assert scoring_code(tmp_path).files["score.py"] == b"# mine\n"
    own.unlink()
    own.mkdir()
    with pytest.raises(errors.UsageError, match="score.py cannot be read"):
        scoring_code(tmp_path)


def test_the_script_only_passes_on() -> None:
    tree = ast.parse(OURS.read_text("utf-8"))
    functions = {node.name: len(node.body) for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == {"init": 3, "run": 4}
