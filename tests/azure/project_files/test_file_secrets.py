"""`${NAME}` is taken from the environment; a variable that is missing and a secret in the file are faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.azure.project_files import file_secrets, yaml_file

ENVIRON = {"DB_PASSWORD": "s3cret", "REGION": "westeurope", "EMPTY": ""}
TOKEN = "ghp_" + "aB3dE5gH7j" * 4


def _file(tmp_path: Path, content: str) -> yaml_file.YamlFile:
    path = tmp_path / "job.yml"
    path.write_text(content)
    file, faults = yaml_file.read(path)
    assert file is not None
    assert not faults
    return file


def _faults(tmp_path: Path, content: str) -> list[str]:
    return [fault.shown(tmp_path) for fault in file_secrets.faults(_file(tmp_path, content), ENVIRON)]


def test_variables_are_filled_in_everywhere_and_azures_own_expressions_are_left(tmp_path: Path) -> None:
    file = _file(tmp_path, "a: {password: '${DB_PASSWORD}'}\nb: ['x-${REGION}', 3]\nc: '${{inputs.x}} $REGION'\n")
    assert not list(file_secrets.faults(file, ENVIRON))
    assert file_secrets.filled(file.values, ENVIRON) == {
        "a": {"password": "s3cret"},
        "b": ["x-westeurope", 3],
        "c": "${{inputs.x}} $REGION",
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a: ${DB_PASWORD}\n", "a: the environment variable DB_PASWORD is not set, did you mean DB_PASSWORD?"),
        ("a: ${QQQ}\n", "a: the environment variable QQQ is not set: export QQQ=…, and in CI take it from a secret"),
        (
            "a: ${EMPTY}\n",
            "a: the environment variable EMPTY is empty: export EMPTY=…, and in CI take it from a secret",
        ),
        ("a: ${db-password}\n", "a: a variable is written ${NAME}: a letter or _, then letters, digits and _, then }"),
        ("a: 'x ${REGION'\n", "a: a variable is written ${NAME}: a letter or _, then letters, digits and _, then }"),
        (
            "ssh_settings:\n  admin_password: hunter2\n",
            "admin_password: a secret stands in the file: revoke it, write ${ADMIN_PASSWORD} and set the environment"
            " variable ADMIN_PASSWORD",
        ),
        (
            "ssh_settings:\n  admin_password: 20261129\n",
            "admin_password: a secret stands in the file: revoke it, write ${ADMIN_PASSWORD} and set the environment"
            " variable ADMIN_PASSWORD",
        ),
        (
            f"environment_variables:\n  GH: {TOKEN}\n",
            "GH: a GitHub token stands in the file: revoke it, write ${GH} and set the environment variable GH",
        ),
        (
            f"x: 1\n# GH: {TOKEN}\n",
            "x: a GitHub token stands in the file: revoke it, write ${X} and set the environment variable X",
        ),
    ],
)
def test_a_missing_variable_and_a_literal_secret_are_faults_that_do_not_show_it(
    tmp_path: Path, content: str, fault: str
) -> None:
    line = content.count("\n")
    assert _faults(tmp_path, content) == [f"job.yml:{line}: {fault}"]
    assert TOKEN not in fault


@pytest.mark.parametrize("value", ["${DB_PASSWORD}", "DB_PASSWORD", "changeme", "a sentence about it"])
def test_names_of_variables_and_examples_are_no_secrets(tmp_path: Path, value: str) -> None:
    assert _faults(tmp_path, f"admin_password: {value}\n") == []
