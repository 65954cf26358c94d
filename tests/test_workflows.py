"""The steps of the workflows, run from their files: what they write to GitHub, and what they refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.project_root import find_root
from notebooks_lib.review.markdown_report import MARKER
from tests.github_server import BOT, Repository, serve, zipped

WORKFLOWS = find_root(Path(__file__)) / ".github/workflows"
SHA = "0123456789abcdef0123456789abcdef01234567"
OWN, FORK = "owner/project", "stranger/project"
EVENT = {
    "GH_TOKEN": "a-token",
    "GITHUB_SERVER_URL": "https://github.com",
    "REPOSITORY": OWN,
    "RUN_ID": "7",
    "HEAD_REPOSITORY": OWN,
    "HEAD_OWNER": "owner",
    "HEAD_BRANCH": "topic",
    "HEAD_SHA": SHA,
    "PAUSES": "0 0",
}


def workflow(name: str) -> dict[str, Any]:
    content = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    if not shutil.which("gh"):
        assert "CI" not in os.environ, "gh is missing: it writes the comments"
        warnings.warn("gh is missing: nobody checked the workflow that comments; apt install gh", stacklevel=1)
        pytest.skip("gh is missing: apt install gh")
    with tempfile.TemporaryDirectory(prefix="gh", dir="/tmp") as folder, serve(Path(folder)) as running:
        Path(folder, "config.yml").write_text(f"http_unix_socket: {running.server_address}\n")
        yield running


@pytest.fixture
def repository(server: Any) -> Repository:
    server.repository = Repository()
    server.repository.open_pull(3, OWN, "topic", SHA)
    return server.repository


def marker(of: str) -> str:
    """Return what GitHub makes of the expression in the file for a run of the workflow `of`."""
    text = workflow("pull-request-comment")["jobs"]["comment"]["env"]["MARKER"]
    expression = r"<!-- nbops \$\{\{ github\.event\.workflow_run\.name == '(.+)' && '(.+)' \|\| '(.+)' \}\} -->"
    match = re.fullmatch(expression, text)
    assert match
    return f"<!-- nbops {match[2] if of == match[1] else match[3]} -->"


def comment(server: Any, folder: Path, **event: str) -> subprocess.CompletedProcess[str]:
    """Run all steps of the commenting job as the runner does: bash, with the environment of the file and the event."""
    job = workflow("pull-request-comment")["jobs"]["comment"]
    (folder / "temp").mkdir()
    event = {"MARKER": marker("pull-request"), **EVENT, **event}
    environment = {name: str(text) for name, text in {**job["env"], **event}.items()}
    assert environment.keys() == job["env"].keys() | {"GITHUB_SERVER_URL"}, "all that the steps are given is given here"
    assert not any("${{" in text for text in environment.values())
    environment |= {
        "PATH": os.environ["PATH"],
        "GH_CONFIG_DIR": str(Path(server.server_address).parent),
        "RUNNER_TEMP": str(folder / "temp"),
        "HOME": str(folder),
    }
    (step,) = job["steps"]
    assert step.keys() == {"name", "shell", "run"}, "no action has a part in this job"
    assert step["shell"] == "bash"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def report(text: str | bytes) -> tuple[str, bytes]:
    content = text if isinstance(text, bytes) else text.encode()
    return "review", zipped([("report.md", content), ("meta.json", b"{}")])


def test_the_first_comment_has_marker_commit_page_and_text(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.artifacts = [("report.html", b"<html>"), report(f"{MARKER}\n\n### q.ipynb\n\n@ $(id) `id` ${{HOME}}\n")]
    result = comment(server, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    (written,) = repository.comments
    assert written["pull"] == 3
    assert written["body"] == (
        f"{MARKER}\n\nCommit 01234567 · [page with figures](https://github.com/owner/project/actions/runs/7/artifacts/70)"
        "\n\n\n### q.ipynb\n\n@ $(id) `id` ${HOME}\n"
    )


def test_the_second_report_edits_the_comment(server: Any, repository: Repository, tmp_path: Path) -> None:
    for number in range(130):
        repository.comment(3, f"talk {number}", "reviewer")
    own = repository.comment(3, f"{MARKER}\n\nold")
    repository.comment(3, "Deployed.")
    repository.artifacts = [report("old"), report("new")]  # the second: of a job that was run again
    assert comment(server, tmp_path).returncode == 0
    assert len(repository.comments) == 132
    assert repository.comments[130]["id"] == own
    assert repository.comments[130]["body"].endswith("\n\nnew\n")


def test_a_foreign_comment_with_our_marker_is_left_alone(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.comment(3, f"{MARKER}\n\nAll is well, merge it.", "stranger")
    repository.comment(3, f"Quoted: {MARKER}")
    repository.artifacts = [report("new")]
    assert comment(server, tmp_path).returncode == 0
    assert [one["body"].splitlines()[-1] for one in repository.comments] == [
        "All is well, merge it.",
        f"Quoted: {MARKER}",
        "new",
    ]


def test_a_fork_has_a_line_of_ours_before_its_text(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.open_pull(4, FORK, "topic", SHA)
    repository.open_pull(5, "stranger/other", "topic", SHA)
    repository.artifacts = [report(f"{MARKER}\nApproved.\n")]
    assert comment(server, tmp_path, HEAD_REPOSITORY=FORK, HEAD_OWNER="stranger").returncode == 0
    (written,) = repository.comments
    assert written["pull"] == 4
    lines = written["body"].splitlines()
    assert lines[0] == MARKER
    assert lines[2].startswith("> **From a fork.**")
    assert lines[-1] == "Approved."


def test_a_branch_with_a_hostile_name_is_a_name(server: Any, repository: Repository, tmp_path: Path) -> None:
    branch = "a&state=closed#$(touch${IFS}x)`touch${IFS}y`'\""
    repository.open_pull(5, OWN, branch, SHA)
    repository.artifacts = [report("text")]
    assert comment(server, tmp_path, HEAD_BRANCH=branch).returncode == 0
    assert [one["pull"] for one in repository.comments] == [5]
    assert {path.name for path in tmp_path.iterdir()} <= {"temp", ".local", ".cache", ".config"}


@pytest.mark.parametrize("change", ["closed", "pushed since", "two"])
def test_without_one_open_pull_request_at_this_commit_nothing_is_written(
    server: Any, repository: Repository, tmp_path: Path, change: str
) -> None:
    (pull,) = repository.pulls
    if change == "closed":
        pull["state"] = "closed"
    elif change == "pushed since":
        pull["head"]["sha"] = SHA[::-1]
    else:
        repository.open_pull(4, OWN, "topic", SHA)
    repository.artifacts = [report("text")]
    result = comment(server, tmp_path)
    assert result.returncode == 0
    assert "::notice::not one open pull request" in result.stdout
    assert not repository.comments
    assert {method for method, _ in repository.requests} == {"GET"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [("GET pulls", 404), ("GET actions/runs", 403), ("GET actions/artifacts", 404), ("POST issues/3", 403)],
)
def test_an_error_of_github_is_one_line_and_red(
    server: Any, repository: Repository, tmp_path: Path, request_: str, status: int
) -> None:
    repository.artifacts = [report("text")]
    repository.faults[request_] = deque([status] * 9)
    result = comment(server, tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("::error::GitHub did not answer: gh: ")
    assert f"(HTTP {status})" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not repository.comments


def test_too_many_requests_are_asked_again(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.artifacts = [report("text")]
    repository.faults = {name: deque([429, 429]) for name in ("GET pulls", "GET actions/artifacts", "POST issues/3")}
    result = comment(server, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(repository.comments) == 1


def test_too_many_requests_for_ever_end(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.faults = {"GET pulls": deque([429] * 9)}
    result = comment(server, tmp_path)
    assert result.returncode == 1
    assert "(HTTP 429)" in result.stderr
    assert len(repository.requests) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([("report.md", b"x" * 65_000)], "has 65000 characters"),
        ([("report.md", b"x" * 400_000)], "too long"),
        ([("report.md", b"\xff\xfeh\x00")], "not UTF-8"),
        ([("report.md", "\ud800".encode("utf-8", "surrogatepass"))], "not UTF-8"),
        ([("report.md", b"")], "is empty"),
        ([("report.md", b"one"), ("report.md", b"two")], "does not hold one report.md"),
        ([("other.md", b"text"), ("sub/report.md", b"text")], "does not hold one report.md"),
        ([], "does not hold one report.md"),
        ([("report.md", os.urandom(1_100_000))], "too large"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_short_text_is_refused(
    server: Any, repository: Repository, tmp_path: Path, content: list[tuple[str, bytes]], message: str
) -> None:
    repository.artifacts = [("review", zipped(content))]
    result = comment(server, tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert not repository.comments


def test_a_damaged_artifact_is_refused(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.artifacts = [("review", b"no zip")]
    assert comment(server, tmp_path).returncode == 1
    assert not repository.comments


def test_the_longest_text_is_written_whole(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.artifacts = [report("\N{SNOWMAN}" * 64_998 + "\n")]
    assert comment(server, tmp_path).returncode == 0
    assert repository.comments[0]["body"].count("\N{SNOWMAN}") == 64_998
    assert len(repository.comments[0]["body"]) <= 65_536


def test_no_other_file_of_the_artifact_is_unpacked(server: Any, repository: Repository, tmp_path: Path) -> None:
    files = [("report.md", b"text"), ("../evil", b"x"), ("/tmp/evil-of-an-artifact", b"x"), ("comment.md", b"x")]
    repository.artifacts = [("review", zipped(files))]
    assert comment(server, tmp_path).returncode == 0
    assert repository.comments[0]["body"].endswith("\n\ntext\n")
    unpacked = {path.name for path in (tmp_path / "temp").rglob("*")}
    assert unpacked == {"review", "answer", "error", "review.zip", "report.md", "comment.md"}
    assert not Path("/tmp/evil-of-an-artifact").exists()


def test_a_run_without_a_report_is_noted(server: Any, repository: Repository, tmp_path: Path) -> None:
    result = comment(server, tmp_path)
    assert result.returncode == 0
    assert "::notice::the run left no report" in result.stdout
    assert not repository.comments


def nightly(server: Any, folder: Path, **results: str) -> None:
    job = workflow("nightly")["jobs"]["issue"]
    (step,) = job["steps"]
    environment = {name: str(text) for name, text in {**job["env"], **results}.items()}
    environment |= {"GH_TOKEN": "a-token", "REPOSITORY": OWN, "RUN_ID": "7", "GITHUB_SERVER_URL": "https://github.com"}
    assert not any("${{" in text for text in environment.values())
    environment |= {
        "PATH": os.environ["PATH"],
        "GH_CONFIG_DIR": str(Path(server.server_address).parent),
        "RUNNER_TEMP": str(folder),
        "HOME": str(folder),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, cwd=folder, env=environment, timeout=60, check=True)


def test_nights_that_fail_have_one_issue(server: Any, repository: Repository, tmp_path: Path) -> None:
    repository.issues = [
        {"number": 1, "state": "open", "title": "The nightly run fails", "user": {"login": "stranger"}, "body": "x"},
        {"number": 2, "state": "closed", "title": "The nightly run fails", "user": {"login": BOT}, "body": "x"},
    ]
    good = {"NOTEBOOKS": "success", "VERIFY": "success", "AUDIT": "success"}
    nightly(server, tmp_path, PROOF="failure", **good)
    nightly(server, tmp_path, PROOF="cancelled", **good)
    assert [issue["body"] == "x" for issue in repository.issues] == [True, True, False]
    assert "https://github.com/owner/project/actions/runs/7" in repository.issues[2]["body"]
    assert "- proof: cancelled\n- audit: success\n" in repository.issues[2]["body"]


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS.glob("*.yml")])
def test_each_step_is_a_make_target_or_a_pinned_action(name: str) -> None:
    """What CI does, a laptop can do; only the steps that speak with GitHub are text of the workflow."""
    targets = set(re.findall(r"(?m)^([a-z]+):", (find_root(Path(__file__)) / "Makefile").read_text("utf-8")))
    content = workflow(name)
    own = [job for job in content["jobs"].values() if "uses" not in job]
    assert content.get("concurrency") or all(job.get("concurrency") for job in own)
    for job in content["jobs"].values():
        if "uses" in job:
            assert (WORKFLOWS.parents[1] / job["uses"].removeprefix("$/")).is_file(), "a workflow of this commit"
            continue
        assert job["timeout-minutes"]
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            elif step["run"].startswith("make "):
                assert step["run"].split()[1] in targets
            elif step["run"].startswith(".ci/"):
                assert os.access(WORKFLOWS.parents[1] / step["run"].split()[0], os.X_OK)
            else:
                assert "GITHUB_" in step["run"] or "gh api" in step["run"]
                assert "${{" not in step["run"]


def test_the_job_that_comments_has_no_more_rights_than_it_needs() -> None:
    content = workflow("pull-request-comment")
    assert content["permissions"] == {}
    assert content["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    asked = workflow("pull-request")
    names = [asked["name"], workflow("azure-infra")["name"]]
    assert content[True]["workflow_run"]["workflows"] == names  # YAML 1.1 reads the key `on` as true
    assert asked["permissions"] == {"contents": "read"}
    assert "permissions" not in str(asked["jobs"])
    assert "secrets." not in (WORKFLOWS / "pull-request.yml").read_text("utf-8")


def test_the_forecast_for_azure_has_a_comment_of_its_own(server: Any, repository: Repository, tmp_path: Path) -> None:
    own = repository.comment(3, f"{MARKER}\n\nthe review")
    repository.artifacts = [report("### Azure, stage dev: 22 to create\n")]
    assert marker("pull-request") == MARKER, "the report begins with it, too"
    assert comment(server, tmp_path, MARKER=marker("azure-infra")).returncode == 0
    review, forecast = repository.comments
    assert (review["id"], review["body"]) == (own, f"{MARKER}\n\nthe review")
    assert forecast["body"].startswith("<!-- nbops azure-infra -->\n\nCommit 01234567\n\n### Azure, stage dev: 22 to")


def test_who_may_read_azure_and_who_may_deploy() -> None:
    """A pull request is answered by the application of the repository; the one that deploys waits for an approval."""
    content = workflow("azure-infra")
    assert content["permissions"] == {}
    look, deploy = content["jobs"]["what-if"], content["jobs"]["deploy"]
    assert "environment" not in look
    assert "head.repo.full_name == github.repository" in look["if"]
    assert deploy["if"] == "github.event_name != 'pull_request'"
    assert deploy["environment"] == "azure-${{ inputs.stage || 'dev' }}"
    assert look["permissions"] == {"contents": "read", "id-token": "write"}
    assert deploy["permissions"] == {**look["permissions"], "actions": "read"}
    assert [step["run"] for job in (look, deploy) for step in job["steps"] if "run" in step] == [
        *("make variables", "make infra"),
        *('.ci/require-reviewers "$ENVIRONMENT"', "make variables", "make infra DEPLOY=--yes"),
    ]


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (["branch_policy", "required_reviewers"], ""),
        (["branch_policy", "wait_timer"], "environment azure-prod has no required reviewers: add them in"),
        ([], "environment azure-prod has no required reviewers"),
        (None, "environment azure-prod cannot be read: make it in the repository's settings, and give the job"),
    ],
)
def test_a_job_stops_whose_environment_asks_nobody(
    rules: list[str] | None, problem: str, server: Any, repository: Repository
) -> None:
    """As on a private repository below GitHub Enterprise, where GitHub itself says nothing."""
    repository.rules = {} if rules is None else {"azure-prod": rules}
    variables = {
        "PATH": os.environ["PATH"],
        "GH_CONFIG_DIR": str(Path(server.server_address).parent),
        "GH_TOKEN": "token",
        "GITHUB_REPOSITORY": OWN,
        "GITHUB_SERVER_URL": "https://github.com",
    }
    command = [WORKFLOWS.parents[1] / ".ci" / "require-reviewers", "azure-prod"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == bool(problem), done.stderr
    assert done.stdout.startswith(f"::error::{problem}" if problem else "")
    assert done.stdout.count("\n") == bool(problem)
